"""Being told when files grow, through one inotify for all who follow, and none while nobody does.

A user may have but 128 inotify instances on a common Linux, and a console may follow as many logs as it likes.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

_FILE = Mask.MODIFY | Mask.CLOSE_WRITE
_FOLDER = Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR
_UNTOLD_S = 1.0

_log = logging.getLogger(__name__)


class Growing:
    """One file that someone follows: itself once it is there, till then the folder where it, or its folder, will be."""

    def __init__(self, growth: "Growth", path: Path, root: Path) -> None:
        self._growth = growth
        self._path = path
        self._root = root
        self._watch: Watch | None = None
        self._on_file = False
        self.changed = asyncio.Event()
        self.look()

    def look(self) -> None:
        """Watch as near to the file as possible."""
        deeper: Path | None = None
        for place in (self._path, *self._path.parents):
            if self._on_file or place == self._root.parent:
                return
            if self._watch_at(place):
                break
            deeper = place
        # What came into being before the folder above was watched was not told.
        if deeper is not None and deeper.exists():
            self.look()

    def _watch_at(self, place: Path) -> bool:
        watch = self._growth.add(self, place, _FILE if place == self._path else _FOLDER)
        if watch is None:
            return False
        if watch is not self._watch:
            self.stop()
        self._watch = watch
        self._on_file = place == self._path
        return True

    async def wait(self, ended: asyncio.Event) -> None:
        """Until the file may have grown, or `ended` is set."""
        waits = [asyncio.ensure_future(self.changed.wait()), asyncio.ensure_future(ended.wait())]
        try:
            await asyncio.wait(
                waits, return_when=asyncio.FIRST_COMPLETED, timeout=_UNTOLD_S if self._watch is None else None
            )
        finally:
            for each in waits:
                each.cancel()
        self.changed.clear()
        self.look()

    def stop(self) -> None:
        if self._watch is not None:
            self._growth.remove(self, self._watch)
            self._watch = None


class Growth:
    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        self._listener: asyncio.Task[None] | None = None
        self._growing: dict[Watch, set[Growing]] = {}
        self._followers = 0

    @contextlib.asynccontextmanager
    async def of(self, path: Path, root: Path) -> AsyncIterator[Growing]:
        """Follow the file, which stands below `root` once it is there."""
        self._open()
        self._followers += 1
        growing = Growing(self, path, root)
        try:
            yield growing
        finally:
            growing.stop()
            self._followers -= 1
            if not self._followers:
                await self._close()

    def add(self, growing: Growing, place: Path, mask: Mask) -> Watch | None:
        """None where there is nothing to watch."""
        if self._inotify is None:
            return None
        try:
            watch = self._inotify.add_watch(place, mask)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("inotify can't watch one more file (%s); it is looked at every second", error.strerror)
            return None
        self._growing.setdefault(watch, set()).add(growing)
        return watch

    def remove(self, growing: Growing, watch: Watch) -> None:
        followers = self._growing.get(watch, set())
        followers.discard(growing)
        if not followers and self._growing.pop(watch, None) is not None and self._inotify is not None:
            with contextlib.suppress(OSError):  # the file is gone, and its watch with it
                self._inotify.rm_watch(watch)

    def _open(self) -> None:
        if self._inotify is not None:
            return
        try:
            self._inotify = Inotify()
        except OSError as error:
            _log.warning("no inotify (%s); followed files are looked at every second", error.strerror)
            return
        self._listener = asyncio.get_running_loop().create_task(self._listen(self._inotify))

    async def _listen(self, inotify: Inotify) -> None:
        async for event in inotify:
            for growing in self._growing.get(event.watch, ()) if event.watch is not None else ():
                growing.changed.set()

    async def _close(self) -> None:
        inotify, listener = self._inotify, self._listener
        self._inotify = self._listener = None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        if inotify is not None:
            inotify.close()
