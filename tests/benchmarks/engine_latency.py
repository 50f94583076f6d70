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
from collections.abc import Callable
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


def _measure(name: str, times: int, once: Callable[[], float]) -> None:
    for _ in range(5):
        once()
    values = []
    for _ in range(times):
        time.sleep(_IDLE_S)
        values.append(once())
    print(f"{name:<24} {spread(values, 'ms')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _measure("bare posix_spawn", times, lambda: _bare(folder))
        if tsp := shutil.which("tsp"):
            once = _spooler(tsp, folder)
            try:
                _measure("task-spooler", times, once)
            finally:
                subprocess.run([tsp, "-K"], env={**os.environ, "TS_SOCKET": str(folder / "ts.socket")}, check=False)
        else:
            print("task-spooler             not installed (apt-get install task-spooler)")
        with quiet_engine(CPU="2") as engine:
            found = engine.endpoint()
            for way, endpoint in {
                "HTTP on the UNIX socket": found,
                "HTTP on TCP": Endpoint(socket=None, url=found.url, key=found.key),
            }.items():
                answered: list[float] = []
                with Client(endpoint, 20) as client:
                    _measure(way, times, lambda client=client, answered=answered: _submitted(client, answered))  # type: ignore[misc]
                print(f"{'  answer to the submit':<24} {spread(answered, 'ms')}")


if __name__ == "__main__":
    main()
