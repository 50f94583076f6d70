"""Lines to read: it draws those that are on the screen, and repaints a line when it differs."""

from collections.abc import Sequence
from typing import ClassVar

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.formats import Tone
from console.situation import Place
from console.themes import Palette
from console.widgets.ink import Run, strip_of

MARGIN = Run(" ")


class Sheet(Widget, can_focus=True, inherit_bindings=False):
    """A pane of lines. What they are is told by `count` and `line`; `reread` when they may have changed.

    With `tail` it stays at its end as long as nobody scrolls up.
    """

    places: ClassVar[tuple[Place, ...]] = (Place.SHEET,)

    def __init__(self, *, id: str, palette: Palette, ascii_only: bool, tail: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette = palette
        self.ascii_only = ascii_only
        self._tail = tail
        self._at_end = tail
        self._stale = False
        self._top = 0
        self._painted: list[Sequence[Run]] = []

    def count(self) -> int:
        """How many lines there are."""
        return 0

    def line(self, index: int) -> Sequence[Run]:
        """What line `index` says."""
        raise IndexError(index)

    def caption(self) -> tuple[list[Run], list[Run]]:
        return [], []

    def reread(self) -> None:
        """Ask for the lines anew, and repaint those that differ."""
        highest = self._highest()
        self._top = highest if self._at_end else min(self._top, highest)
        lines = self._lines()
        if len(lines) != len(self._painted):
            self._painted = lines
            self.refresh()
            return
        for y, line in enumerate(lines):
            if line != self._painted[y]:
                self._painted[y] = line
                self.refresh(Region(0, y, self.size.width, 1))

    def grow_old(self, stale: bool) -> None:
        """What it says is from before the link was lost, or is not."""
        if stale != self._stale:
            self._stale = stale
            self.refresh()

    def scroll_lines(self, lines: int) -> None:
        highest = self._highest()
        self._top = max(0, min(highest, self._top + lines))
        self._at_end = self._tail and self._top == highest
        self.reread()

    def do_move_down(self) -> None:
        self.scroll_lines(1)

    def do_move_up(self) -> None:
        self.scroll_lines(-1)

    def do_move_page_down(self) -> None:
        self.scroll_lines(max(1, self.size.height - 1))

    def do_move_page_up(self) -> None:
        self.scroll_lines(-max(1, self.size.height - 1))

    def do_move_top(self) -> None:
        self.scroll_lines(-self._top)

    def do_move_bottom(self) -> None:
        self.scroll_lines(self._highest())

    def on_resize(self) -> None:
        self._painted = []
        self.reread()

    def on_mouse_scroll_down(self) -> None:
        self.scroll_lines(3)

    def on_mouse_scroll_up(self) -> None:
        self.scroll_lines(-3)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        if y >= len(self._painted):
            return Strip.blank(self.size.width, base)
        runs = [MARGIN, *self._painted[y]]
        if self._stale:
            runs = [run._replace(tone=Tone.DIM) for run in runs]
        return strip_of(runs, self.size.width, self.palette, base, ascii_only=self.ascii_only)

    def _highest(self) -> int:
        return max(0, self.count() - self.size.height)

    def _lines(self) -> list[Sequence[Run]]:
        last = min(self.count(), self._top + self.size.height)
        return [self.line(index) for index in range(self._top, last)]
