"""How loud is painted: the app's palette, or the terminal's own two colours where an app has none.

Not by component classes: textual works each of them out for every widget, which takes a tenth of the start.
"""

from rich.style import Style
from textual.widget import Widget

from console.themes import Palette

_TEXT, _FAINT, _LOUD = Style(), Style(dim=True), Style(bold=True)
PLAIN = Palette(_TEXT, _FAINT, _FAINT, _LOUD, good=_TEXT, wants=_LOUD, bad=_LOUD, cursor=Style(reverse=True))


def palette_of(widget: Widget) -> Palette:
    palette = getattr(widget.app, "palette", None)
    return palette if isinstance(palette, Palette) else PLAIN
