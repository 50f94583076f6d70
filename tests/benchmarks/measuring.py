"""What the benchmarks share: percentiles, and an engine that is quiet and gone afterwards."""

import asyncio
import atexit
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from console.client import Client
from tests.engine_process import EngineProcess, short_home

TRUE = shutil.which("true") or "/bin/true"
_LOOK_EVERY_S = 0.05


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """`p50 2.41, p95 3.02 ms`, the values multiplied by `scale`."""
    return f"p50 {percentile(values, 0.5) * scale:.2f}, p95 {percentile(values, 0.95) * scale:.2f} {unit}"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def bare_spawns(count: int, parallel: int) -> float:
    """Spawns of `true` a second by asyncio alone, `parallel` at a time: the floor."""

    async def all_of_them() -> float:
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                process = await asyncio.create_subprocess_exec(TRUE)
                await process.wait()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(parallel)))
        return count / (time.perf_counter() - began)

    return asyncio.run(all_of_them())


@contextmanager
def quiet_engine(**settings: str) -> Iterator[EngineProcess]:
    """An engine that logs warnings only, on a home of its own, which goes when the whole benchmark is over.

    ext4 makes a file by passing over every inode that was deleted in the last minutes, one by one: a home that was
    removed now would slow down the next round. For the same reason, measure some minutes after the tests have run.
    """
    engine = EngineProcess(short_home(), {"LOG_LEVEL": "warning", "MEMORY_GB": "16", **settings})
    try:
        engine.start()
        yield engine
    finally:
        engine.end_processes()
        atexit.register(engine.end)


def look_until(check: Callable[[], bool], within_s: float = 300.0) -> None:
    """Look every 50 ms: a benchmark that followed the stream would take the engine's own cores for it."""
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {within_s:g} s")
        time.sleep(_LOOK_EVERY_S)


def submit_many(client: Client, count: int, **request: Any) -> list[str]:
    """Queue `count` equal tasks in batches; their ids."""
    ids: list[str] = []
    while len(ids) < count:
        batch = [request] * min(5_000, count - len(ids))
        ids += [task["id"] for task in client.post("/v1/tasks/batch", {"tasks": batch})["tasks"]]
    return ids


def completed(client: Client) -> int:
    return int(client.get("/v1/queue")["by_state"].get("completed", 0))


def window(client: Client, filter_: str, sort: str, count: int) -> list[dict[str, Any]]:
    """`count` tasks, in windows of 1,000."""
    tasks: list[dict[str, Any]] = []
    while len(tasks) < count:
        page = client.get("/v1/tasks", filter=filter_, sort=sort, limit=1000, offset=len(tasks))["tasks"]
        if not page:
            break
        tasks += page
    return tasks[:count]
