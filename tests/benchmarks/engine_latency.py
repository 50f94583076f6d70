"""From submit to the first instruction of the process on an idle engine, beside a bare spawn and task-spooler.

    python -m tests.benchmarks.engine_latency --times 200

Each way starts `date +%s%N`, whose own answer is the moment that it runs at; milliseconds.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from console.client import Client, Endpoint
from tests.benchmarks.measuring import quiet_engine, spread
from tests.engine_process import wait_for

DATE = shutil.which("date") or "/bin/date"
_IDLE_S = 0.02


def _bare(folder: Path) -> float:
    target = folder / "bare"
    with target.open("wb") as out:
        began = time.time_ns()
        pid = os.posix_spawn(DATE, [DATE, "+%s%N"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
        os.waitpid(pid, 0)
    return (int(target.read_text()) - began) / 1e6


def _spooler(tsp: str, folder: Path) -> Callable[[], float]:
    environment = {**os.environ, "TS_SOCKET": str(folder / "ts.socket"), "TMPDIR": str(folder)}

    def once() -> float:
        began = time.time_ns()
        job = subprocess.run(
            [tsp, DATE, "+%s%N"], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        subprocess.run([tsp, "-w", job], env=environment, check=True)
        out = subprocess.run([tsp, "-c", job], env=environment, capture_output=True, text=True, check=True).stdout
        return (int(out) - began) / 1e6

    return once


def _submitted(client: Client, answered: list[float]) -> float:
    began = time.time_ns()
    task = client.post("/v1/tasks", {"job_name": "date", "command": [DATE, "+%s%N"]})
    answered.append((time.time_ns() - began) / 1e6)
    wait_for(client, task["id"])
    return (int(client.get(f"/v1/tasks/{task['id']}/logs")["text"]) - began) / 1e6


def _measure(ways: Mapping[str, Callable[[], float]], times: int) -> dict[str, list[float]]:
    """All ways in turn, over and over, so that the machine's drift falls on all of them alike."""
    for once in ways.values():
        for _ in range(5):
            once()
    values: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, once in ways.items():
            time.sleep(_IDLE_S)
            values[name].append(once())
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    times = parser.parse_args().times
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways: dict[str, Callable[[], float]] = {"bare posix_spawn": partial(_bare, folder)}
        if tsp := shutil.which("tsp"):
            stack.callback(
                subprocess.run, [tsp, "-K"], env={**os.environ, "TS_SOCKET": str(folder / "ts.socket")}, check=False
            )
            ways["task-spooler"] = _spooler(tsp, folder)
        else:
            print("task-spooler             not installed (apt-get install task-spooler)")
        found = stack.enter_context(quiet_engine(CPU="2")).endpoint()
        answered: dict[str, list[float]] = {}
        for name, endpoint in {
            "HTTP on the UNIX socket": found,
            "HTTP on TCP": Endpoint(socket=None, url=found.url, key=found.key),
        }.items():
            client = stack.enter_context(Client(endpoint, 20))
            ways[name] = partial(_submitted, client, answered.setdefault(name, []))
        for name, values in _measure(ways, times).items():
            print(f"{name:<24} {spread(values, 'ms')}")
            if name in answered:
                print(f"{'  answer to the submit':<24} {spread(answered[name], 'ms')}")


if __name__ == "__main__":
    main()
