"""Part of the demo's workload: fails at its first attempt, as a network does."""

import os
import sys
import time

attempt = int(os.environ["SHOPFLOOR_ATTEMPT"].partition("#")[2])
print(f"attempt {attempt}: connecting to the registry", flush=True)
time.sleep(float(sys.argv[1]))
if attempt == 1:
    sys.exit("the registry closed the connection")
print("exported", flush=True)
