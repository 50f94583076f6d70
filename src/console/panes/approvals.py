"""Approvals: what waits for a person to decide."""

import time
from typing import ClassVar

from console.formats import Tone, age, mark_of, status
from console.mirror import Mirror
from console.panes.base import Listing
from console.rows import ApprovalRow
from console.situation import Place
from console.widgets.columns import Cell, Column
from console.widgets.ink import Run

EMPTY = """\
Nothing waits for you.
What a phase asks will stand here, with its diff and the price of a yes. Silence approves nothing."""


class ApprovalsPane(Listing[ApprovalRow]):
    places: ClassVar[tuple[Place, ...]] = (Place.APPROVALS, Place.LIST)

    def __init__(self, mirror: Mirror, *, ascii_only: bool) -> None:
        def state(row: ApprovalRow) -> Cell:
            return Cell(status(row.state, ascii_only=ascii_only), mark_of(row.state).tone)

        columns: tuple[Column[ApprovalRow], ...] = (
            Column("title", "WHAT", 24, lambda row: row.title, least=10, flex=1),
            Column("kind", "KIND", 10, lambda row: row.kind, tone=Tone.DIM, spare=2),
            Column("state", "STATE", 11, state),
            Column(
                "time",
                "TIME",
                6,
                lambda row: age(time.time() - row.created_at),
                "right",
                Tone.DIM,
                spare=1,
                ticks=lambda row: row.state in {"waiting", "pending"},
            ),
        )
        super().__init__(mirror.approvals, columns, empty=EMPTY, ascii_only=ascii_only, id="approvals")

    def caption(self) -> tuple[list[Run], list[Run]]:
        waiting = self.feed.total
        return ([Run(f"◆{waiting:,}", Tone.WANTS)] if waiting else []), []
