"""Part of the demo's workload: a training that only pretends, with a loss that falls and a model that it leaves."""

import json
import os
import sys
import time
from pathlib import Path

epochs, pause = int(sys.argv[1]), float(sys.argv[2])
loss = 2.4
for epoch in range(1, epochs + 1):
    time.sleep(pause)
    loss = 0.21 + (loss - 0.21) * 0.83
    print(f"epoch {epoch:>3} of {epochs}  loss {loss:.4f}", flush=True)
model = Path(os.environ["SHOPFLOOR_OUTPUT"]) / "model.json"
model.write_text(json.dumps({"epochs": epochs, "loss": round(loss, 4)}))
print(f"wrote {model.name}", flush=True)
