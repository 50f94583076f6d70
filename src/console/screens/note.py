"""What is said at the bottom and has no room in one line; the next key takes it away."""

from textwrap import wrap
from typing import TYPE_CHECKING, cast

from textual.strip import Strip
from textual.widget import Widget

from console.widgets.ink import Run, strip_of

if TYPE_CHECKING:
    from console.app import Shopfloor

MOST_LINES = 6


class Note(Widget):
    """A text of several lines, where the footer is."""

    def __init__(self, said: Run, width: int) -> None:
        super().__init__(name="prompt")
        lines = wrap(said.text, max(20, width - 2), max_lines=MOST_LINES, placeholder=" …")
        self._lines = [said._replace(text=f" {line}") for line in lines]

    @property
    def tall(self) -> int:
        """Lines it takes."""
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        floor = cast("Shopfloor", self.app)
        runs = self._lines[y : y + 1]
        return strip_of(runs, self.size.width, floor.palette, self.rich_style, ascii_only=floor.ascii_only)
