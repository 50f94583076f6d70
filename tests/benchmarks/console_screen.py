"""What the console costs a terminal: start, keys, changes, idling; at a hundred tasks and at a hundred thousand.

    python -m tests.benchmarks.console_screen [--rows 100 100000] [--runs 5]

Each figure stands beside that of an empty Textual app, measured in the same run in the same pseudo-terminal. With
`--command` another program than the bare ledger is measured, such as the console itself.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.terminal import Terminal, percentile
from tests.console.small_engine import task

EMPTY = ("-c", "from textual.app import App; App(ansi_color=False).run()")
LEDGER = ("-m", "tests.benchmarks.console_ledger")
KEYS = 60


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in milliseconds, memory in MB, the rest in bytes."""

    name: str
    start: float
    key_p50: float
    key_p95: float
    cursor: float
    cell: float
    page: float
    idle_bytes: int
    memory: float
    idle_cpu: float


def empty_start(runs: int, environment: dict[str, str]) -> float:
    """Milliseconds to the full paint of an app without a widget: its last byte before it falls silent."""
    times = []
    for _ in range(runs):
        with Terminal((sys.executable, *EMPTY), environment=environment) as terminal:
            last = 0.0
            while True:
                data = terminal.read(0.4 if last else 10)
                if not data:
                    break
                last = _now(terminal)
            times.append(last * 1000)
    return percentile(times, 0.5)


def _now(terminal: Terminal) -> float:
    import time

    return time.perf_counter() - terminal.started_at


def measure(command: Sequence[str], rows: int, runs: int, idle_s: float) -> Figures:
    """All figures against an engine of its own with so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        engine = subprocess.Popen(
            [sys.executable, "-m", "tests.console.small_engine", str(home), str(rows)], stdin=subprocess.PIPE, text=True
        )
        try:
            _await(home / "engine.json")
            environment = {"SHOPFLOOR_HOME": str(home)}
            starts = []
            for _ in range(runs):
                with Terminal(command, environment=environment) as terminal:
                    starts.append(terminal.until(str(task(20)["id"]).encode()) * 1000)
            with Terminal(command, environment=environment) as terminal:
                terminal.until(str(task(20)["id"]).encode())
                terminal.quiet(0.6)
                keys = [terminal.press(b"j" if at % 40 < 20 else b"k") for at in range(KEYS)]
                cells = []
                for at in range(10):
                    assert engine.stdin is not None
                    engine.stdin.write(f"{at + 2} waiting\n")
                    engine.stdin.flush()
                    cells.append(terminal.quiet(0.4))
                pages = [terminal.press(b" " if at % 2 == 0 else b"b")[1] for at in range(6)]
                terminal.quiet(1.0)
                cpu, before = terminal.cpu_s(), terminal.written
                terminal.listen(idle_s)
                return Figures(
                    f"{rows:,} rows",
                    percentile(starts, 0.5),
                    percentile([took for took, _ in keys], 0.5) * 1000,
                    percentile([took for took, _ in keys], 0.95) * 1000,
                    percentile([size for _, size in keys], 0.5),
                    percentile(cells, 0.5),
                    percentile(pages, 0.5),
                    terminal.written - before,
                    terminal.memory_mb(),
                    terminal.cpu_s() - cpu,
                )
        finally:
            engine.kill()
            engine.wait()


def _await(path: Path) -> None:
    import time

    deadline = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} never came")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--command", help="what to run in place of the bare ledger")
    arguments = parser.parse_args()
    command = shlex.split(arguments.command) if arguments.command else (sys.executable, *LEDGER)
    floor = empty_start(arguments.runs, {})
    print(f"an empty Textual app paints in {floor:.0f} ms")
    head = f"{'':14}{'start ms':>10}{'ratio':>7}{'key p50':>9}{'key p95':>9}{'cursor B':>10}{'cell B':>8}"
    print(head + f"{'page B':>8}{'idle B':>8}{'idle cpu':>10}{'MB':>6}")
    for rows in arguments.rows:
        f = measure(command, rows, arguments.runs, arguments.idle)
        print(
            f"{f.name:14}{f.start:>10.0f}{f.start / floor:>7.2f}{f.key_p50:>9.1f}{f.key_p95:>9.1f}{f.cursor:>10.0f}"
            f"{f.cell:>8.0f}{f.page:>8.0f}{f.idle_bytes:>8}{f.idle_cpu:>9.2f}s{f.memory:>6.0f}"
        )


if __name__ == "__main__":
    main()
