"""End the engine at random moments under load, and count what was lost, done twice or cut short.

    python -m tests.chaos.engine_kills --tasks 1000 --times 50 --signal KILL

Every task appends one line with its number to a file that all share, and prints lines while it runs. A third of the
ends come while the engine is still starting.
"""

import argparse
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.client import Client, EngineGone
from tests.engine_process import EngineProcess, short_home, until

LINES = 12
_TASK = (
    'echo "$0" >> "$1"; i=0; while [ $i -lt 12 ]; do '
    'echo "line $i of $0"; i=$((i+1)); if [ $i = 6 ]; then sleep "$2"; fi; done'
)
_BATCH = 25
_SHORTEST_LIFE_S, _LONGEST_LIFE_S = 0.02, 0.6
_LONGEST_START_S = 0.5


@dataclass
class Report:
    """What came of a run. All lists hold the numbers of tasks and should be empty."""

    tasks: int
    ends: int = 0
    ends_under_load: int = 0
    ends_while_starting: int = 0
    lost: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)
    cut_short: list[int] = field(default_factory=list)
    not_completed: dict[int, str] = field(default_factory=dict)
    attempted_again: list[int] = field(default_factory=list)
    slowest_end_s: float = 0.0
    slowest_start_s: float = 0.0
    seconds: float = 0.0

    def is_clean(self) -> bool:
        return not (self.lost or self.twice or self.cut_short or self.not_completed or self.attempted_again)

    def __str__(self) -> str:
        return (
            f"{self.tasks} tasks, engine ended {self.ends} times ({self.ends_under_load} while tasks ran, "
            f"{self.ends_while_starting} while it started), {self.seconds:.1f} s\n"
            f"lost {len(self.lost)}, twice {len(self.twice)}, output cut short {len(self.cut_short)}, "
            f"not completed {len(self.not_completed)}, attempted again {len(self.attempted_again)}\n"
            f"slowest end {self.slowest_end_s:.2f} s, slowest start until ready {self.slowest_start_s:.2f} s"
        )


class Run:
    """One run: a thread submits, the caller's thread ends the engine and starts it again."""

    def __init__(self, engine: EngineProcess, tasks: int, times: int, number: signal.Signals, seed: int) -> None:
        self._engine = engine
        self._times = times
        self._signal = number
        self._random = random.Random(seed)
        self._marks = engine.home / "marks"
        self._up = threading.Event()
        self._over = threading.Event()
        self._ids: dict[int, str] = {}
        self._failed: Exception | None = None
        self.report = Report(tasks)

    def go(self, pause_s: float) -> Report:
        """Returns when every task has ended and has been checked. `pause_s` is how long a task runs."""
        began = time.monotonic()
        self._start()
        submitter = threading.Thread(target=self._submit_all, args=(pause_s,))
        submitter.start()
        try:
            for _ in range(self._times):
                self._end_once()
        finally:
            if self._engine.process is None:
                self._start()
            submitter.join(120)
            self._over.set()
        if self._failed is not None:
            raise self._failed
        with self._engine.client() as client:
            until(client, lambda: self._ended(client) == self.report.tasks, 300)
            self._check(client)
        self.report.seconds = time.monotonic() - began
        return self.report

    def _start(self) -> None:
        began = time.monotonic()
        self._engine.start()
        self.report.slowest_start_s = max(self.report.slowest_start_s, time.monotonic() - began)
        self._up.set()

    def _end_once(self) -> None:
        self._over.wait(self._random.uniform(_SHORTEST_LIFE_S, _LONGEST_LIFE_S))
        with self._engine.client() as client:
            self.report.ends_under_load += bool(client.get("/v1/queue")["running"])
        self._up.clear()
        self._end()
        if self._random.random() < 1 / 3:
            self._engine.start(until_ready=False)
            self._over.wait(self._random.uniform(0, _LONGEST_START_S))
            self.report.ends_while_starting += 1
            self._end()
        self._start()

    def _end(self) -> None:
        began = time.monotonic()
        if self._signal is signal.SIGKILL:
            self._engine.kill()
        else:
            self._engine.stop()
        self.report.ends += 1
        self.report.slowest_end_s = max(self.report.slowest_end_s, time.monotonic() - began)

    def _submit_all(self, pause_s: float) -> None:
        left = list(range(self.report.tasks))
        try:
            while left:
                self._up.wait()
                batch = left[:_BATCH]
                try:
                    with self._engine.client() as client:
                        self._submit(client, batch, pause_s)
                except EngineGone:
                    continue
                left = left[_BATCH:]
        except Exception as error:  # noqa: BLE001 - it is raised again by the thread that waits
            self._failed = error

    def _submit(self, client: Client, batch: list[int], pause_s: float) -> None:
        """Submit what the engine does not have yet: an end may have come between the commit and the answer."""
        names = ",".join(_name(number) for number in batch)
        known = {
            task["job_name"]: task["id"]
            for task in client.get("/v1/tasks", filter=f"name:{names}", limit=1000)["tasks"]
        }
        missing = [number for number in batch if _name(number) not in known]
        if missing:
            requests = [self._request(number, pause_s) for number in missing]
            made = client.post("/v1/tasks/batch", {"tasks": requests})["tasks"]
            known |= {task["job_name"]: task["id"] for task in made}
        self._ids |= {number: known[_name(number)] for number in batch}

    def _request(self, number: int, pause_s: float) -> dict[str, Any]:
        return {
            "job_name": _name(number),
            "command": ["sh", "-c", _TASK, str(number), str(self._marks), f"{pause_s:g}"],
            "priority": 1 + number % 10,
        }

    def _ended(self, client: Client) -> int:
        by_state = client.get("/v1/queue")["by_state"]
        return sum(by_state.get(state, 0) for state in ("completed", "failed", "cancelled", "skipped"))

    def _check(self, client: Client) -> None:
        report = self.report
        marks = Counter(int(line) for line in self._marks.read_text().split())
        for number, id_ in sorted(self._ids.items()):
            task = client.get(f"/v1/tasks/{id_}")
            if task["state"] != "completed":
                report.not_completed[number] = f"{task['state']}: {task.get('error') or task.get('reason')}"
            if task["attempt"] > 1:
                report.attempted_again.append(number)
            if marks[number] == 0:
                report.lost.append(number)
            elif marks[number] > 1:
                report.twice.append(number)
            wanted = "".join(f"line {line} of {number}\n" for line in range(LINES))
            if client.get(f"/v1/tasks/{id_}/logs")["text"] != wanted:
                report.cut_short.append(number)


def _name(number: int) -> str:
    return f"chaos-{number:05d}"


def run(tasks: int, times: int, number: signal.Signals, seed: int, pause_s: float = 0.1) -> Report:
    """A run on an engine and a home of its own, which are gone afterwards."""
    home = short_home()
    engine = EngineProcess(Path(home), {"CPU": "4", "MEMORY_GB": "4", "LOG_LEVEL": "warning"})
    try:
        return Run(engine, tasks, times, number, seed).go(pause_s)
    finally:
        engine.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds that a task runs")
    given = parser.parse_args()
    print(f"SIG{given.signal}, seed {given.seed}")
    report = run(given.tasks, given.times, signal.Signals[f"SIG{given.signal}"], given.seed, given.pause)
    print(report)
    for number, why in list(report.not_completed.items())[:10]:
        print(f"  {_name(number)}: {why}")
    return 0 if report.is_clean() else 1


if __name__ == "__main__":
    raise SystemExit(main())
