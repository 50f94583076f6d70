"""The folders of attempts: made ahead of time, since making them is much of what the start of an attempt waits for.

Moving a ready folder into its place costs a twentieth of making four (8 against 160 us measured on ext4, and up to
1 ms where many files were just deleted). They are made while nothing starts: beside a commit it takes five times as
long and slows the commit too, so a burst that uses them up makes its own.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from engine.executors.base import AttemptKey
from engine.settings import Home

LEFT = "out"
WORK = "work"

_READY = 32
"""Folders of first attempts that stand ready."""
_QUIET_S = 0.01
"""For so long nothing was started before they are made."""
_SPARE_FOLDERS = 64
_NEW = 0o40700
_PARTS = (f"1/{LEFT}", f"1/{WORK}", "1", "")

Background = Callable[[Callable[[], None]], object]
"""Runs something on a thread beside the loop."""


class AttemptFolders:
    """`<task>/<attempt>` with `out/` (what it leaves) and `work/` (where it runs by default), owner only."""

    def __init__(self, home: Home, background: Background | None) -> None:
        self._tasks = str(home.tasks)
        self._background = background
        self._ready: deque[str] = deque()
        self._empties: deque[str] = deque(maxlen=_SPARE_FOLDERS)
        self._filling = False
        self._made = 0
        self._taken_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take over what an engine before made ready, and make the rest. What it was killed at making goes."""
        with suppress(FileNotFoundError), os.scandir(self._tasks) as found:
            for one in found:
                if not one.name.startswith(".ready-"):
                    continue
                if all(_is_new(f"{one.path}/{part}") for part in _PARTS):
                    self._ready.append(one.path)
                else:
                    _drop(one.path)
        self._fill_when_quiet()

    def make(self, key: AttemptKey) -> None:
        """The folders of an attempt; what is there stays."""
        task = f"{self._tasks}/{key.task_id}"
        if key.attempt == 1 and self._ready:
            ready = self._ready.popleft()
            self._fill_when_quiet()
            try:
                os.rename(ready, task)  # noqa: PTH104 - once for each task: this one is cheap
            except OSError:  # the task has its folder from a claim that was not written
                self._ready.append(ready)
            else:
                return
        _make(task)
        self._make_attempt(f"{task}/{key.attempt}")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def left_something(self, key: AttemptKey) -> bool:
        """Whether the attempt left anything in its `out/`."""
        try:
            with os.scandir(f"{self._tasks}/{key.task_id}/{key.attempt}/{LEFT}") as entries:
                return next(entries, None) is not None
        except FileNotFoundError:
            return False

    def recycle(self, key: AttemptKey) -> None:
        """The attempt is over: folders that it left empty may be used again. Many tasks leave nothing."""
        self._empties += (f"{self._tasks}/{key.task_id}/{key.attempt}/{name}" for name in (LEFT, WORK))

    def _fill_when_quiet(self) -> None:
        if self._background is None:
            return
        loop = asyncio.get_running_loop()
        self._taken_at = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(_QUIET_S, self._fill_if_quiet, loop, self._background)

    def _fill_if_quiet(self, loop: asyncio.AbstractEventLoop, background: Background) -> None:
        rest = self._taken_at + _QUIET_S - loop.time()
        if rest > 0 or self._filling:
            self._timer = loop.call_later(max(rest, _QUIET_S), self._fill_if_quiet, loop, background)
            return
        self._timer = None
        self._filling = True
        background(self._fill)

    def _fill(self) -> None:
        try:
            while len(self._ready) < _READY:
                self._made += 1
                path = f"{self._tasks}/.ready-{self._made}"
                with suppress(FileExistsError):  # one that was taken over
                    os.mkdir(path, 0o700)  # noqa: PTH102
                    self._make_attempt(f"{path}/1")
                    self._ready.append(path)
        except OSError:
            return  # a full disk, say: whoever needs a folder makes it and hears of it
        finally:
            self._filling = False

    def _make_attempt(self, attempt: str) -> None:
        _make(attempt)
        for folder in (f"{attempt}/{LEFT}", f"{attempt}/{WORK}"):
            if not self._reuse(folder):
                _make(folder)

    def _reuse(self, folder: str) -> bool:
        with suppress(IndexError):
            while True:
                spare = self._empties.popleft()
                if _is_new(spare) and _is_empty(spare):
                    try:
                        os.rename(spare, folder)  # noqa: PTH104
                    except OSError:
                        return False
                    return True
        return False


def _make(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)  # noqa: PTH102


def _is_new(folder: str) -> bool:
    """Whether it is a folder (no link to one) with the mode that we give."""
    try:
        return os.lstat(folder).st_mode == _NEW
    except OSError:
        return False


def _drop(ready: str) -> None:
    for part in _PARTS:
        with suppress(OSError):
            os.rmdir(f"{ready}/{part}")  # noqa: PTH106


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False
