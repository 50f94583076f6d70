"""The part of a task's output that is held: whole lines between two byte offsets, however long the output is."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from console.log_text import WIDEST, shown

MOST_LINES = 20_000
MOST_BYTES = 8 << 20


@dataclass(slots=True)
class Line:
    """A line as it is drawn, and how many bytes of the output it takes, its line feed included."""

    text: str
    size: int


@dataclass(slots=True)
class LogBuffer:
    """Lines from byte `start` to byte `stop`. `whole` tells whether the last line has ended.

    Byte counts are exact where the output is UTF-8; where it is not they are put right at each window's end.
    """

    lines: list[Line] = field(default_factory=list)
    start: int = 0
    stop: int = 0
    size: int = 0
    whole: bool = True
    _tail: str = ""
    _tail_size: int = 0

    def clear(self, at: int = 0) -> None:
        """Holds nothing, from byte `at` on."""
        self.lines.clear()
        self.start = self.stop = at
        self.whole, self._tail, self._tail_size = True, "", 0

    def append(self, offset: int, text: str, next_offset: int) -> int:
        """Takes in bytes `offset` to `next_offset`; returns how many lines the end went down.

        Text that doesn't follow on what is held takes its place.
        """
        if not self.lines or offset != self.stop:
            self.clear(offset)
        before = len(self.lines)
        *ended, rest = text.split("\n")
        for line in ended:
            self._grow(line, 1)
            self._close()
        self._grow(rest, 0)
        self._show_tail()
        self._correct(next_offset - self.stop)
        self.size = max(self.size, self.stop)
        return len(self.lines) - before

    def prepend(self, offset: int, text: str) -> int:
        """Takes in text that ends where what is held starts; returns how many lines came in above.

        Where it doesn't start with the output, its first, partial line is left for the next time.
        """
        start = offset
        if offset > 0 and 0 < (cut := text.find("\n") + 1) < len(text):
            stray = cut - len(text[:cut].lstrip("\N{REPLACEMENT CHARACTER}"))
            start += _bytes(text[:cut]) - 2 * stray
            text = text[cut:]
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        elif self.lines:
            # What is held started in the middle of a line: here is its beginning.
            first, head = self.lines[0], lines.pop()
            self.lines[0] = Line(shown(head + first.text), first.size + _bytes(head))
        self.lines[:0] = [Line(shown(line), _bytes(line) + 1) for line in lines]
        self.start = start
        return len(lines)

    def offset_of(self, index: int) -> int:
        """The byte at which the line at `index` starts."""
        if index > len(self.lines) // 2:
            return self.stop - sum(line.size for line in self.lines[index:])
        return self.start + sum(line.size for line in self.lines[:index])

    def index_at(self, offset: int) -> int:
        """The line that holds byte `offset`, or the nearest one."""
        at = self.start
        for index, line in enumerate(self.lines):
            at += line.size
            if offset < at:
                return index
        return max(0, len(self.lines) - 1)

    def trim_top(self) -> int:
        """Lets go of lines at the top beyond what may be held; returns how many."""
        gone = self._surplus(self.lines)
        self.start += sum(line.size for line in self.lines[:gone])
        del self.lines[:gone]
        return gone

    def trim_bottom(self) -> int:
        """Lets go of lines at the bottom beyond what may be held; returns how many."""
        gone = self._surplus(reversed(self.lines))
        if gone:
            self.stop -= sum(line.size for line in self.lines[-gone:])
            del self.lines[-gone:]
            self.whole, self._tail, self._tail_size = True, "", 0
        return gone

    def _surplus(self, lines: Iterable[Line]) -> int:
        """How many of `lines`, from the first on, are too many; one always stays."""
        count, size = len(self.lines), self.stop - self.start
        gone = 0
        for line in lines:
            if count - gone <= 1 or (count - gone <= MOST_LINES and size <= MOST_BYTES):
                break
            gone += 1
            size -= line.size
        return gone

    def _grow(self, text: str, line_feed: int) -> None:
        """More of the line that has not ended. Of a progress bar only the newest state is kept."""
        size = _bytes(text) + line_feed
        self._tail_size += size
        self.stop += size
        returned = text.rstrip("\r").rfind("\r")
        if returned >= 0:
            self._tail = text[returned + 1 :]
        elif self._tail.endswith("\r") and text.strip("\r"):
            self._tail = text
        elif len(self._tail) <= WIDEST:
            self._tail += text

    def _close(self) -> None:
        """The line has ended."""
        self._show_tail()
        self.whole, self._tail, self._tail_size = True, "", 0

    def _show_tail(self) -> None:
        if not self._tail_size:
            return
        if not self.whole:
            self.lines.pop()
        self.lines.append(Line(shown(self._tail), self._tail_size))
        self.whole = False

    def _correct(self, by: int) -> None:
        """Puts byte counts right, from the last line up: what was not UTF-8 doesn't tell how long it was."""
        self.stop += by
        for line in reversed(self.lines):
            if not by:
                break
            part = max(by, -line.size)
            line.size += part
            by -= part
        if not self.whole:
            self._tail_size = self.lines[-1].size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
