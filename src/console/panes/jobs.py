"""Jobs: graphs of phases, and what each has cost."""

import time
from typing import ClassVar

from console.formats import Tone, age, mark_of, money, status
from console.mirror import Mirror
from console.panes.base import Listing
from console.rows import JobRow
from console.situation import Place
from console.widgets.columns import Cell, Column

EMPTY = """\
No jobs yet.
shopfloor job start KIND  starts one.
Each job will stand here: its phase, how far it is, and what it has cost."""


class JobsPane(Listing[JobRow]):
    places: ClassVar[tuple[Place, ...]] = (Place.JOBS, Place.LIST)

    def __init__(self, mirror: Mirror, *, ascii_only: bool) -> None:
        def state(row: JobRow) -> Cell:
            return Cell(status(row.state, ascii_only=ascii_only), mark_of(row.state).tone)

        columns: tuple[Column[JobRow], ...] = (
            Column("name", "NAME", 16, lambda row: row.name, least=8, flex=2),
            Column("kind", "KIND", 8, lambda row: row.kind, tone=Tone.DIM, spare=3),
            Column("state", "STATE", 11, state),
            Column("phase", "PHASE", 12, _phase, least=6, flex=1, spare=1),
            Column("cost", "COST", 8, lambda row: money(row.cost), "right", Tone.DIM),
            Column("time", "TIME", 6, _time, "right", Tone.DIM, spare=2, ticks=lambda row: row.ended_at is None),
        )
        super().__init__(mirror.jobs, columns, empty=EMPTY, ascii_only=ascii_only, id="jobs")


def _phase(row: JobRow) -> str:
    return f"{row.phase or ''} {row.phases_done}/{row.phases_total}".strip()


def _time(row: JobRow) -> str:
    return age((row.ended_at or time.time()) - (row.started_at or row.created_at))
