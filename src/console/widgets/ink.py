"""Runs of text with a tone each, and how they become a line of the terminal."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from textwrap import wrap
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from console.formats import PLAIN, Tone
from console.themes import Palette


class Run(NamedTuple):
    """A piece of a line and how loud it is."""

    text: str
    tone: Tone = Tone.TEXT
    bold: bool = False


Runs = Sequence[Run]


def width_of(runs: Iterable[Run]) -> int:
    """Cells of the terminal."""
    return sum(len(run.text) if run.text.isascii() else cell_len(run.text) for run in runs)


def cut(runs: Runs, width: int) -> list[Run]:
    """The runs in `width` cells at most, the end cut."""
    kept: list[Run] = []
    left = width
    for run in runs:
        wide = width_of((run,))
        if wide <= left:
            kept.append(run)
            left -= wide
            continue
        if left > 1:
            kept.append(run._replace(text=set_cell_size(run.text, left - 1) + "…"))
        break
    return kept


def folded(line: Runs, room: int) -> list[Runs]:
    """The line, its last run going on beneath itself where it is wider than `room` columns."""
    if not line or width_of(line) <= room:
        return [line]
    before, last = line[:-1], line[-1]
    left = width_of(before)
    first, *more = wrap(last.text, max(16, room - left)) or [""]
    return [[*before, last._replace(text=first)], *([Run(" " * left), last._replace(text=one)] for one in more)]


def spread(left: Runs, right: Runs, width: int, filler: Run) -> list[Run]:
    """`left` and `right` at the ends of a line of `width` cells, `filler` (one cell) between; `left` gives way."""
    right = cut(right, width)
    room = width - width_of(right)
    left = cut(left, room)
    return [*left, filler._replace(text=filler.text * (room - width_of(left))), *right]


def segments(runs: Runs, palette: Palette, *, ascii_only: bool) -> list[Segment]:
    """The runs as Textual paints them, neighbours that look the same as one; in ASCII glyphs have their stand-ins."""
    painted: list[Segment] = []
    for (tone, bold), same in groupby((run for run in runs if run.text), key=lambda run: (run.tone, run.bold)):
        text = "".join(run.text for run in same)
        style = palette.bold(tone) if bold else palette.tone(tone)
        painted.append(Segment(text.translate(PLAIN) if ascii_only else text, style))
    return painted


def strip_of(runs: Runs, width: int, palette: Palette, base: Style, *, ascii_only: bool) -> Strip:
    """A line of exactly `width` cells on the widget's own style."""
    painted = segments(cut(runs, width), palette, ascii_only=ascii_only)
    strip = Strip([Segment(text, base + style if style else base) for text, style, _ in painted])
    return strip.adjust_cell_length(width, base)
