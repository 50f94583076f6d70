"""Styles put together from the component classes of a widget."""

from collections.abc import Iterable

from rich.style import Style
from textual.widget import Widget


def mix(widget: Widget, names: Iterable[str]) -> Style:
    """The widget's own look, and over it what each component sets, with its transparent colours worked out."""
    look = widget.rich_style
    for name in names:
        says, full = widget.get_component_rich_style(name, partial=True), widget.get_component_rich_style(name)
        color = full.color if says.color is not None else None
        background = full.bgcolor if says.bgcolor is not None else None
        look += says.without_color + Style(color=color, bgcolor=background)
    return look
