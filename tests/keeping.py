"""A home with a process executor in it, as the scheduler would use it: launch, wait, look at what is left."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from engine.executors.base import AttemptKey, Ended, Launch, Report, Started
from engine.executors.process import ProcessExecutor
from engine.settings import Home

DEADLINE_S = 20.0
PYTHON = sys.executable


class Shop:
    """One engine's view of a home. Open several on one home, one after the other, to play its restarts."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.create()
        self.executor = ProcessExecutor(self.home)
        self.reports: list[Report] = []
        self._news = asyncio.Event()

    async def open(self) -> None:
        await self.executor.open(self._on_reports)

    def _on_reports(self, reports: Sequence[Report]) -> None:
        self.reports.extend(reports)
        self._news.set()

    def make(self, command: Sequence[str], name: str = "t1", number: int = 1, **environment: str) -> Launch:
        folder = self.home.attempt(name, number)
        folder.mkdir(parents=True, exist_ok=True)
        return Launch(
            key=AttemptKey(name, number),
            command=command,
            environment={"PATH": os.environ["PATH"], **environment},
            cwd=folder,
            output=folder / "output.log",
        )

    def start(self, command: Sequence[str], name: str = "t1", number: int = 1, **environment: str) -> AttemptKey:
        launch = self.make(command, name, number, **environment)
        self.executor.launch([launch])
        return launch.key

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for reports until it holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def ends(self, key: AttemptKey) -> list[Ended]:
        return [each for each in self.reports if isinstance(each, Ended) and each.key == key]

    def starts(self, key: AttemptKey) -> list[Started]:
        return [each for each in self.reports if isinstance(each, Started) and each.key == key]

    async def ended(self, key: AttemptKey) -> Ended:
        await self.until(lambda: bool(self.ends(key)))
        return self.ends(key)[0]

    async def started(self, key: AttemptKey) -> Started:
        await self.until(lambda: bool(self.starts(key)))
        return self.starts(key)[0]

    def output(self, key: AttemptKey) -> str:
        return (self.home.attempt(*key) / "output.log").read_text()

    async def said(self, key: AttemptKey, text: str) -> None:
        """Wait until the attempt printed the text."""
        path = self.home.attempt(*key) / "output.log"
        await true(lambda: path.exists() and text in path.read_text())

    def kill_keeper(self) -> None:
        pid = self.executor.keeper_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


async def true(holds: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def status_kb(pid: int | None, field: str) -> int:
    """A figure of a process's memory, such as VmRSS."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def gone(pid: int) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def alive(mark: str) -> list[int]:
    """The living processes that were started with `MARK=<mark>` in their environment or have it in their command."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                known = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if mark.encode() in known and state not in "ZX":
                    found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


@contextlib.asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Shop]:
    """An engine on the home, which closes at the end like a clean stop: the keeper and its tasks go on."""
    shop = Shop(root)
    await shop.open()
    try:
        yield shop
    finally:
        await shop.executor.close()


async def end_keeper(root: Path) -> None:
    """Leave nothing behind: end all that runs in the home, then its keeper."""
    async with opened(root) as shop:
        await shop.executor.adopt([])
        shop.kill_keeper()
