"""What the console costs a terminal: start, keys, changes, idling; at a hundred tasks and at a hundred thousand.

    python -m tests.benchmarks.console_screen [--rows 100 100000] [--runs 5] [--ledger] [--ssh]

Starts an engine of its own on a home of its own, fills its paused queue, and opens `shopfloor` on it in a
pseudo-terminal of 160x48. The start stands beside that of an empty Textual app measured in the same run. With
`--ledger` the virtual table alone is measured, over a small engine that makes its rows up.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from console.client import Client, find_endpoint
from tests.benchmarks.terminal import Terminal, percentile
from tests.engine_process import short_home

EMPTY = (sys.executable, "-c", "from textual.app import App; App().run()")
KEYS = 60
CHANGES = 10
BATCH = 5_000
SEEN_ROW = 10
"""The row whose name says that the list is on the screen."""


class Backing(ABC):
    """An engine with so many tasks, called `sweep-0` and so on, and a way to have one of them change."""

    console: Sequence[str]

    def __init__(self, rows: int) -> None:
        self.home = short_home()
        self.process = self.launch(rows)
        deadline = time.monotonic() + 20
        while not (self.home / "engine.json").exists():
            if time.monotonic() > deadline:
                raise TimeoutError("the engine did not start")
            time.sleep(0.01)
        self.fill(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    @abstractmethod
    def launch(self, rows: int) -> "subprocess.Popen[str]": ...

    @abstractmethod
    def fill(self, rows: int) -> None: ...

    @abstractmethod
    def change(self, at: int) -> None: ...


class RealEngine(Backing):
    console = ("shopfloor",)

    def launch(self, rows: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "engine", "run", "--port", "0"],
            env={**os.environ, "SHOPFLOOR_HOME": str(self.home)},
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def fill(self, rows: int) -> None:
        self.client = Client(find_endpoint(self.home), timeout_s=120)
        self.client.post("/v1/queue/pause", {"reason": "measuring"})
        for first in range(0, rows, BATCH):
            tasks = [
                {"job_name": f"sweep-{number}", "command": ["true"]}
                for number in range(first, min(rows, first + BATCH))
            ]
            self.client.post("/v1/tasks/batch", {"tasks": tasks})
        window = self.client.get("/v1/tasks", limit=CHANGES + 2, sort="order")
        self.ids = [task["id"] for task in window["tasks"]]

    def change(self, at: int) -> None:
        self.client.patch(f"/v1/tasks/{self.ids[at + 2]}", {"cpu": 2})


class MadeUpRows(Backing):
    console = (sys.executable, "-m", "tests.benchmarks.console_ledger")

    def launch(self, rows: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.console.small_engine", str(self.home), str(rows)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def fill(self, rows: int) -> None:
        return

    def change(self, at: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{at + 2} waiting\n")
        self.process.stdin.flush()


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in milliseconds, processor time in seconds, memory in MB, the rest in bytes."""

    start: float
    settled: float
    key_p50: float
    key_p95: float
    cursor: float
    cell: float
    page: float
    idle_bytes: int
    idle_cpu: float
    memory: float


def settle(terminal: Terminal) -> float:
    """Seconds from the start to the last byte before it falls silent."""
    last = 0.0
    while terminal.read(0.5 if last else 15):
        last = time.perf_counter() - terminal.started_at
    return last


def start_of(command: Sequence[str], environment: dict[str, str], text: bytes | None) -> tuple[float, float]:
    """Seconds to the paint that holds `text`, and to silence."""
    with Terminal(command, environment=environment) as terminal:
        seen = terminal.until(text) if text is not None else 0.0
        return seen, max(seen, settle(terminal))


def measure(kind: type[Backing], rows: int, runs: int, idle_s: float, more: dict[str, str]) -> Figures:
    """All figures against an engine of its own with so many tasks."""
    text = f"sweep-{SEEN_ROW} ".encode()
    with kind(rows) as backing:
        environment = {**more, "SHOPFLOOR_HOME": str(backing.home)}
        starts = [start_of(backing.console, environment, text) for _ in range(runs)]
        with Terminal(backing.console, environment=environment) as terminal:
            terminal.until(text)
            terminal.quiet(1.0)
            keys = [terminal.press(b"j" if at % 40 < 20 else b"k") for at in range(KEYS)]
            terminal.quiet(0.5)
            cells = []
            for at in range(CHANGES):
                backing.change(at)
                cells.append(terminal.quiet(0.6))
            pages = [terminal.press(b" " if kind is MadeUpRows else b"\x1b[6~")[1] for _ in range(3)]
            terminal.quiet(1.0)
            cpu, memory = terminal.cpu_s(), terminal.memory_mb()
            idle = terminal.listen(idle_s)
            return Figures(
                percentile([seen for seen, _ in starts], 0.5) * 1000,
                percentile([silent for _, silent in starts], 0.5) * 1000,
                percentile([took for took, _ in keys], 0.5) * 1000,
                percentile([took for took, _ in keys], 0.95) * 1000,
                percentile([size for _, size in keys], 0.5),
                percentile(cells, 0.5),
                percentile(pages, 0.5),
                idle,
                terminal.cpu_s() - cpu,
                memory,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--ledger", action="store_true", help="the virtual table alone")
    parser.add_argument("--ssh", action="store_true", help="as over SSH")
    arguments = parser.parse_args()
    kind = MadeUpRows if arguments.ledger else RealEngine
    more = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"} if arguments.ssh else {}
    floor = percentile([start_of(EMPTY, more, None)[1] for _ in range(arguments.runs)], 0.5) * 1000
    print(f"an empty Textual app paints in {floor:.0f} ms")
    head = f"{'rows':>8}{'start ms':>10}{'ratio':>7}{'settled':>9}{'ratio':>7}{'key p50':>9}{'key p95':>9}"
    print(f"{head}{'cursor B':>10}{'cell B':>8}{'page B':>8}{'idle B':>8}{'idle cpu':>10}{'MB':>6}")
    for rows in arguments.rows:
        f = measure(kind, rows, arguments.runs, arguments.idle, more)
        print(
            f"{rows:>8,}{f.start:>10.0f}{f.start / floor:>7.2f}{f.settled:>9.0f}{f.settled / floor:>7.2f}"
            f"{f.key_p50:>9.1f}{f.key_p95:>9.1f}{f.cursor:>10.0f}{f.cell:>8.0f}{f.page:>8.0f}{f.idle_bytes:>8}"
            f"{f.idle_cpu:>9.2f}s{f.memory:>6.0f}"
        )


if __name__ == "__main__":
    main()
