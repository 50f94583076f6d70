"""Part of the demo's workload: makes a small corpus and leaves it as an artifact."""

import os
import sys
import time
from pathlib import Path

pause = float(sys.argv[1])
corpus = Path(os.environ["SHOPFLOOR_OUTPUT"]) / "corpus.txt"
with corpus.open("w") as file:
    for shard in range(1, 9):
        time.sleep(pause)
        file.write(f"shard {shard}: the quick brown fox jumps over the lazy dog\n" * 40)
        print(f"shard {shard} of 8: 40 lines", flush=True)
