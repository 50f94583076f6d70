"""How an output is painted: the lines on the screen, and of one that changed only what stands after the difference."""

from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from console.formats import Tone
from console.log_buffer import LogBuffer
from console.log_search import matches
from console.mirror import Mirror
from console.themes import Palette
from console.widgets.looks import palette_of


class _Line(NamedTuple):
    text: str
    found: tuple[tuple[int, int], ...]
    bar: str
    look: str


class PaintedLog(Widget):
    """The lines of a log view: what is held of the output, which line is the first on the screen, what was painted."""

    def __init__(
        self,
        mirror: Mirror,
        *,
        empty: str,
        ascii_only: bool,
        name: str | None,
        id: str | None,  # noqa: A002
        classes: str | None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.ascii_only = ascii_only
        self.following = True
        self.needle = ""
        self._mirror = mirror
        self._said = empty
        self._buffer = LogBuffer()
        self._top = 0
        self._pan = 0
        self._lines: list[_Line] = []
        self._drawn = Size(0, 0)
        self._looks: dict[str, Style] = {}
        self._palette: Palette | None = None

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._looks.clear()

    def _highest(self) -> int:
        return max(0, len(self._buffer.lines) - max(1, self.size.height))

    def _line(self, y: int, bar_at: int | None) -> _Line:
        look = "stale" if self._mirror.stale else "text"
        index = self._top + y
        if not self._buffer.lines and y == 0 and self._said:
            return _Line(self._said, (), " ", "said")
        if index >= len(self._buffer.lines):
            return _Line("", (), " ", look)
        bar = " " if y != bar_at else "#" if self.ascii_only else "┃"
        text = self._buffer.lines[index].text
        found = tuple(matches(self.needle, text)) if self.needle else ()
        cut = text[self._pan : self._pan + self.size.width]
        found = tuple((a - self._pan, b - self._pan) for a, b in found if b > self._pan)
        return _Line(cut, tuple((max(0, a), b) for a, b in found), bar, look)

    def _bar_at(self) -> int | None:
        """The line of the scroll bar's mark: where the first line on the screen stands among all bytes."""
        height, size = self.size.height, self._buffer.size
        if len(self._buffer.lines) <= height and self._buffer.start == 0:
            return None
        if self.following:
            return height - 1
        return min(height - 1, self._buffer.offset_of(self._top) * height // max(1, size))

    def _repaint(self) -> None:
        """Compares what should stand with what was painted, and refreshes each line from where it differs."""
        if self._drawn != self.size:
            return
        regions: list[Region] = []
        bar_at = self._bar_at()
        for y in range(self.size.height):
            was, now = self._lines[y], self._line(y, bar_at)
            if was == now:
                continue
            self._lines[y] = now
            regions.append(self._difference(y, was, now))
        if regions:
            self.refresh(*regions)

    def _difference(self, y: int, was: _Line, now: _Line) -> Region:
        """The part of line `y` that is not as it was. One stretch a line: textual writes each from the line's start."""
        edge = self.size.width - 1
        stop = edge if was.bar == now.bar else edge + 1
        if was.look != now.look or was.found != now.found or not (was.text + now.text).isascii():
            return Region(0, y, stop, 1)
        if was.text == now.text:
            return Region(edge, y, 1, 1)
        longest, shortest = max(len(was.text), len(now.text)), min(len(was.text), len(now.text))
        same = next((x for x, (a, b) in enumerate(zip(was.text, now.text, strict=False)) if a != b), shortest)
        return Region(same, y, (stop if stop > edge else min(edge, longest)) - same, 1)

    def _arrange(self) -> None:
        self._drawn = self.size
        bar_at = self._bar_at()
        self._lines = [self._line(y, bar_at) for y in range(self.size.height)]

    def render_line(self, y: int) -> Strip:
        if self._drawn != self.size:
            self._arrange()
        line, width = self._lines[y], self.size.width - 1
        look = self._look_of(line.look)
        segments: list[Segment] = []
        at = 0
        for first, stop in line.found:
            segments.append(Segment(line.text[at:first], look))
            segments.append(Segment(line.text[first:stop], self._look_of("found")))
            at = stop
        segments.append(Segment(line.text[at:], look))
        strip = Strip([segment for segment in segments if segment.text], sum(cell_len(s.text) for s in segments))
        strip = strip.crop(0, width).extend_cell_length(width, look)
        return Strip([*strip, Segment(line.bar, self._look_of("bar"))], width + 1)

    def _look_of(self, name: str) -> Style:
        palette = palette_of(self)
        if palette is not self._palette:
            self._palette = palette
            self._looks.clear()
        known = self._looks.get(name)
        if known is None:
            known = self._looks[name] = self.rich_style + _look(palette, name)
        return known


def _look(palette: Palette, name: str) -> Style:
    if name == "found":
        return palette.cursor + palette.bold(Tone.WANTS)
    return palette.tone({"text": Tone.TEXT, "bar": Tone.RULE}.get(name, Tone.DIM))
