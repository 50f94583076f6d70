"""Columns of a ledger: what they show of a row, and how they share the width there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from rich.cells import cell_len, set_cell_size

from console.formats import Tone, shorten

RowT = TypeVar("RowT", bound=Any)

GAP = 2
"""Blank characters between two columns."""


class Cell(NamedTuple):
    """What stands in one place of a ledger, and how loud it is."""

    text: str
    tone: Tone = Tone.TEXT


@dataclass(frozen=True)
class Column(Generic[RowT]):
    """`text` says what to show of a row, as a `Cell` or as a string in the column's own `tone`.

    `width` is what it likes to have, `least` what it can live with (default: `width`), `flex` its share of what is
    left over. Where there is too little, columns go, the one with the highest `spare` first; 0 always stays.
    `sort` is the engine's name of the field to sort by. `ticks` tells for which rows the text changes with the clock.
    """

    key: str
    title: str
    width: int
    text: Callable[[RowT], Cell | str]
    align: Literal["left", "right"] = "left"
    tone: Tone = Tone.TEXT
    least: int | None = None
    flex: int = 0
    spare: int = 0
    sort: str | None = None
    ticks: Callable[[RowT], bool] | None = None

    def cell(self, row: RowT) -> Cell:
        found = self.text(row)
        return found if isinstance(found, Cell) else Cell(found, self.tone)


class Place(NamedTuple):
    """Where a column stands: its first character and its width."""

    column: Column[Any]
    x: int
    width: int


def lay_out(columns: Sequence[Column[RowT]], width: int, left: int = 0) -> tuple[Place, ...]:
    """The columns that fit into `width` characters from `left` on, widened or narrowed to fill them."""
    shown = list(columns)
    room = width - left

    def least(chosen: Sequence[Column[RowT]]) -> int:
        return sum((c.width if c.least is None else c.least) + GAP for c in chosen) - GAP

    while least(shown) > room and (spare := max((c.spare for c in shown), default=0)):
        shown.remove(next(c for c in reversed(shown) if c.spare == spare))
    widths = [c.width for c in shown]
    over = sum(widths) + GAP * (len(shown) - 1) - room
    if over > 0:
        _narrow(shown, widths, over)
    elif shares := sum(c.flex for c in shown):
        _widen(shown, widths, -over, shares)
    places: list[Place] = []
    x = left
    for column, wide in zip(shown, widths, strict=True):
        fits = min(wide, left + room - x)
        if fits <= 0:
            break
        places.append(Place(column, x, fits))
        x += fits + GAP
    return tuple(places)


def _narrow(columns: Sequence[Column[Any]], widths: list[int], over: int) -> None:
    """Takes `over` characters from the columns that can be narrower, the widest slack first."""
    while over > 0:
        slack = [wide - (wide if c.least is None else c.least) for c, wide in zip(columns, widths, strict=True)]
        most = max(slack, default=0)
        if most <= 0:
            return
        widths[slack.index(most)] -= 1
        over -= 1


def _widen(columns: Sequence[Column[Any]], widths: list[int], spare: int, shares: int) -> None:
    given = 0
    for place, column in enumerate(columns):
        extra = spare * column.flex // shares
        widths[place] += extra
        given += extra
    first = next(place for place, column in enumerate(columns) if column.flex)
    widths[first] += spare - given


def clean(text: str) -> str:
    """The text without anything that a terminal would act on."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def fit(text: str, width: int, align: str = "left", *, ellipsis: str = "…") -> str:
    """The text in exactly `width` cells of the terminal, cut with an ellipsis where it is longer."""
    text = clean(text)
    if text.isascii():
        if len(text) > width:
            text = shorten(text, width, ellipsis=ellipsis)
        return text.rjust(width) if align == "right" else text.ljust(width)
    wide = cell_len(text)
    if wide > width:
        cut = set_cell_size(text, max(0, width - len(ellipsis))) if width > len(ellipsis) else ""
        return set_cell_size(cut + ellipsis, width)
    return " " * (width - wide) + text if align == "right" else text + " " * (width - wide)
