"""Costs: what calls to models have cost, by what they were for."""

from collections.abc import Callable

from console.formats import Tone, money
from console.mirror import Mirror
from console.panes.base import Listing, Recaptioned
from console.rows import CostRow
from console.widgets.columns import Cell, Column
from console.widgets.ink import Run

EMPTY = """\
Nothing spent.
Calls to models will stand here: tokens and dollars by job, and how near the day is to its limit."""


class CostsPane(Listing[CostRow]):
    def __init__(self, mirror: Mirror, *, ascii_only: bool) -> None:
        columns: tuple[Column[CostRow], ...] = (
            Column("key", "FOR", 16, lambda row: row.key, least=8, flex=1),
            Column("calls", "CALLS", 6, lambda row: f"{row.calls:,}", "right", Tone.DIM),
            Column("input", "IN", 9, lambda row: f"{row.input_tokens:,}", "right", Tone.DIM, spare=2),
            Column("output", "OUT", 9, lambda row: f"{row.output_tokens:,}", "right", Tone.DIM, spare=2),
            Column("unpriced", "UNPRICED", 8, _unpriced, "right", spare=3),
            Column("cost", "COST", 9, lambda row: money(row.cost), "right"),
        )
        super().__init__(mirror.costs, columns, empty=EMPTY, ascii_only=ascii_only, id="costs")
        self._mirror = mirror
        self._unwatch_facts: Callable[[], None] = mirror.watch("costs_facts", self._facts_changed)

    def on_unmount(self) -> None:
        self._unwatch_facts()

    def caption(self) -> tuple[list[Run], list[Run]]:
        return spend(self._mirror, "today "), []

    def _facts_changed(self) -> None:
        self.post_message(Recaptioned())


def spend(mirror: Mirror, word: str = "") -> list[Run]:
    """What was spent today, and the day's limit where one is set; loud when it is reached."""
    facts = mirror.costs_facts
    if not facts:
        return []
    limit = facts.get("daily_limit")
    if limit is None:
        return [Run(f"{word}{money(facts['today'])}", Tone.DIM)]
    over = float(str(facts["today"])) >= float(str(limit))
    return [Run(f"{word}{money(facts['today'])}/{money(limit)}", Tone.WANTS if over else Tone.DIM)]


def _unpriced(row: CostRow) -> Cell:
    return Cell(f"{row.unpriced:,}", Tone.WANTS) if row.unpriced else Cell("")
