"""Notebooks: Jupyter servers in containers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from console.feed import Feed
from console.formats import Tone, mark_of, status
from console.link import Answer, Done, Link
from console.panes.base import Listing
from console.rows import moment
from console.situation import Place
from console.widgets.columns import Cell, Column

EMPTY = """\
No notebooks.
shopfloor jupyter start  starts one.
The Jupyter servers of this machine will stand here, with the address to open."""


@dataclass(frozen=True, slots=True)
class ServiceRow:
    id: str
    name: str
    status: str
    created_at: float = field(metadata={"read": moment})
    url: str | None = None


class NotebooksPane(Listing[ServiceRow]):
    places: ClassVar[tuple[Place, ...]] = (Place.NOTEBOOKS, Place.LIST)

    def __init__(self, feed: Feed[ServiceRow], *, ascii_only: bool) -> None:
        def state(row: ServiceRow) -> Cell:
            return Cell(status(row.status, ascii_only=ascii_only), mark_of(row.status).tone)

        columns: tuple[Column[ServiceRow], ...] = (
            Column("name", "NAME", 16, lambda row: row.name, least=8, flex=1),
            Column("state", "STATE", 11, state),
            Column("url", "ADDRESS", 24, lambda row: row.url or "", tone=Tone.DIM, least=12, flex=2),
        )
        super().__init__(feed, columns, empty=EMPTY, ascii_only=ascii_only, id="notebooks")


def notebooks_feed(link: Link) -> Feed[ServiceRow]:
    """The contract answers with a plain list, of which the feed makes its one window."""

    def get(path: str, query: Mapping[str, object], done: Done) -> None:
        def hand_over(answer: Answer) -> None:
            done(Answer({"rows": answer.value}) if answer.ok else answer)

        link.get(path, query, hand_over)

    return Feed(get, "/v1/jupyter/services", ServiceRow, whole=True)
