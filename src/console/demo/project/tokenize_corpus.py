"""Part of the demo's workload: talks a lot."""

import sys
import time

lines, pause = int(sys.argv[1]), float(sys.argv[2])
for number in range(1, lines + 1):
    print(f"document {number:>7,}: {number * 7919 % 512:>4} tokens", flush=number % 50 == 0)
    if number % 50 == 0:
        time.sleep(pause)
