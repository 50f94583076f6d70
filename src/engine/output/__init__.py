"""What attempts print: kept in full on disk, read in windows, followed while someone looks, pruned when it is old.

It goes from the process straight into its file; nothing of it stands in the engine's memory but the window asked for.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from engine.output.growth import Growth
from engine.output.retention import prune
from engine.output.window import LARGEST, SMALLEST, Window, end_of, read
from engine.settings import Home, Settings
from engine.store.writer import Writer

__all__ = ["LARGEST", "SMALLEST", "Output", "Window"]

FILE = "output.log"
_LAST_TEXT = 4096
_PIECE = 65536
_GATHER_S = 0.03


class Output:
    """The output of all attempts of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._growth = Growth()

    def path(self, task_id: str, attempt: int) -> Path:
        """The file; it need not exist (yet, or any more)."""
        return self._home.attempt(task_id, attempt) / FILE

    def size(self, task_id: str, attempt: int) -> int:
        """Bytes printed so far; 0 when there is no file."""
        try:
            return self.path(task_id, attempt).stat().st_size
        except OSError:
            return 0

    async def window(
        self, task_id: str, attempt: int, offset: int = 0, limit: int = _PIECE, *, ended: bool = False
    ) -> Window:
        """At most `limit` bytes (4 to 1 MiB) from `offset` on, cut between characters.

        `ended` says that nothing will be added: only then is a character that breaks off at the end shown.
        """
        return await asyncio.to_thread(read, self.path(task_id, attempt), offset, limit, final=ended)

    async def tail(self, task_id: str, attempt: int, limit: int = _PIECE, *, ended: bool = False) -> Window:
        """The last `limit` bytes, from the start of a line on if there is one among them."""
        return await asyncio.to_thread(end_of, self.path(task_id, attempt), limit, final=ended)

    async def last_text(self, task_id: str, attempt: int, limit: int = _LAST_TEXT) -> str:
        """The end of the output as text; empty when there is none."""
        return (await self.tail(task_id, attempt, limit, ended=True)).text

    async def follow(
        self, task_id: str, attempt: int, offset: int, ended: asyncio.Event, limit: int = _PIECE
    ) -> AsyncIterator[Window]:
        """Window after window as the output grows, from `offset` on; the file need not exist yet.

        Ends once `ended` is set and all has been read. Nothing is polled: the kernel tells of growth.
        """
        path = self.path(task_id, attempt)
        async with self._growth.of(path, self._home.tasks) as grown:
            while True:
                # Asked before the file is read: what is printed after that is read in the next round.
                final = ended.is_set()
                window = await asyncio.to_thread(read, path, offset, limit, final=final)
                if window.next_offset > offset:
                    offset = window.next_offset
                    yield window
                    continue
                if final:
                    return
                await grown.wait(ended)
                if not ended.is_set():
                    await asyncio.sleep(_GATHER_S)  # many lines in one window, rather than a window for each

    async def prune(self, settings: Settings, writer: Writer) -> list[tuple[str, int]]:
        """Delete the output of ended attempts that is too old or, oldest first, too much; which attempts' it was."""
        return await prune(self._home.tasks, FILE, settings, writer)
