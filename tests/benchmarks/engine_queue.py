"""What a deep queue costs: claims, windows, a submit and a start-up with 100 and with 100,000 queued.

python -m tests.benchmarks.engine_queue --depths 100 100000
"""

import argparse
import time
from datetime import datetime
from functools import partial

from console.client import Client
from tests.benchmarks.measuring import TRUE, bare_spawns, look_until, percentile, quiet_engine, submit_many, window
from tests.engine_process import wait_for

_CLAIMED = 500
_ASKS = ({"cpu": 1}, {"cpu": 2}, {"cpu": 1, "memory_gb": 1}, {"cpu": 1, "memory_gb": 4}, {"cpu": 2, "memory_gb": 8})


def _at_depth(depth: int) -> None:
    with quiet_engine(CPU="2") as engine:
        with engine.client(300) as client:
            client.post("/v1/queue/pause")
            for ask in _ASKS:
                submit_many(client, depth // len(_ASKS), job_name="filler", command=[TRUE], priority=1, **ask)
            bare = bare_spawns(_CLAIMED, 2)
            rate = _claims(client)
            reads = _timed(lambda: client.get("/v1/tasks", limit=50), 50)
            deep = _timed(lambda: client.get("/v1/tasks", limit=50, offset=depth // 2), 20)
            filtered = _timed(lambda: client.get("/v1/tasks", limit=50, filter="state:queued cpu:>=2"), 20)
            submit = _submit_and_start(client)
        engine.kill()
        began = time.perf_counter()
        engine.start()
        boot = time.perf_counter() - began
        print(
            f"{depth:>7,} queued: {rate:,.0f} claimed and run a second ({1e3 / rate:.3f} ms each; "
            f"bare spawns {bare:,.0f}, ratio {rate / bare:.2f}); submit to end "
            f"p50 {submit * 1e3:.1f} ms; window p50 {reads * 1e3:.1f} ms, from the middle {deep * 1e3:.1f} ms, "
            f"filtered {filtered * 1e3:.1f} ms; ready {boot:.2f} s after kill -9"
        )


def _claims(client: Client) -> float:
    """Tasks of priority 10 run a second, in front of the fillers."""
    ids = submit_many(client, _CLAIMED, job_name="claimed", command=[TRUE], priority=10)
    resumed = time.time()
    client.post("/v1/queue/resume")
    # Looked at by id, last one first: counting a deep queue over and over would be measured as well.
    for id_ in reversed(ids):
        look_until(partial(_is_completed, client, id_))
    client.post("/v1/queue/pause")
    last = window(client, "name:claimed", "-ended_at", 1)[0]
    return _CLAIMED / (datetime.fromisoformat(last["ended_at"]).timestamp() - resumed)


def _is_completed(client: Client, id_: str) -> bool:
    return bool(client.get(f"/v1/tasks/{id_}")["state"] == "completed")


def _submit_and_start(client: Client) -> float:
    """Seconds from a submit of priority 10 to its end, with the queue open and its slots taken by fillers in turn."""
    client.post("/v1/queue/resume")
    values = []
    for _ in range(20):
        began = time.perf_counter()
        task = client.post("/v1/tasks", {"job_name": "urgent", "command": [TRUE], "priority": 10})
        wait_for(client, task["id"])
        values.append(time.perf_counter() - began)
    client.post("/v1/queue/pause")
    return percentile(values, 0.5)


def _timed(call: object, times: int) -> float:
    assert callable(call)
    values = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        values.append(time.perf_counter() - began)
    return percentile(values, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[100, 100_000])
    for depth in parser.parse_args().depths:
        _at_depth(depth)


if __name__ == "__main__":
    main()
