"""Phases: the steps of a job, those of the job under the cursor or of all that are live."""

import time

from console.formats import Tone, age, mark_of, status
from console.mirror import Mirror
from console.panes.base import Listing
from console.rows import PhaseRow
from console.widgets.columns import Cell, Column

EMPTY = """\
No phases.
The steps of the job under the cursor will stand here: passed, running, or waiting for your decision."""


class PhasesPane(Listing[PhaseRow]):
    def __init__(self, mirror: Mirror, *, ascii_only: bool) -> None:
        def state(row: PhaseRow) -> Cell:
            return Cell(status(row.state, ascii_only=ascii_only), mark_of(row.state).tone)

        columns: tuple[Column[PhaseRow], ...] = (
            Column("name", "PHASE", 16, lambda row: row.name, least=8, flex=2),
            Column("state", "STATE", 11, state),
            Column("task", "TASK", 8, lambda row: row.task_id or "", tone=Tone.DIM, spare=2),
            Column("job", "JOB", 8, lambda row: row.job_id, tone=Tone.DIM, spare=3),
            Column("time", "TIME", 6, _time, "right", Tone.DIM, spare=1, ticks=lambda row: row.state == "running"),
        )
        super().__init__(mirror.phases, columns, empty=EMPTY, ascii_only=ascii_only, id="phases")


def _time(row: PhaseRow) -> str:
    return "" if row.started_at is None else age((row.ended_at or time.time()) - row.started_at)
