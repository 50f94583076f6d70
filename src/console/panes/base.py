"""What all panes that are lists have in common."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any, ClassVar, Generic, TypeVar

from textual.message import Message

from console.feed import Change, Feed
from console.formats import Tone
from console.panes.moving import Moving
from console.situation import Place
from console.widgets.columns import Column
from console.widgets.ink import Run
from console.widgets.ledger import Ledger


class Recaptioned(Message):
    """What a pane's caption says may have changed."""


RowT = TypeVar("RowT", bound=Any)


class Listing(Moving, Ledger[RowT], Generic[RowT], inherit_bindings=False):
    """A ledger that is a pane: it knows its caption, its places, and the moves of the registry."""

    places: ClassVar[tuple[Place, ...]] = (Place.LIST,)

    def __init__(
        self,
        feed: Feed[RowT],
        columns: Sequence[Column[RowT]],
        *,
        empty: str,
        ascii_only: bool,
        id: str,  # noqa: A002
    ) -> None:
        super().__init__(feed, columns, empty=empty, ascii_only=ascii_only, id=id)
        self._said = empty
        self._unwatch_caption = feed.watch(self._caption_may_change)

    def on_mount(self) -> None:
        self._look()  # rows may have been there before the pane was

    def on_resize(self) -> None:
        self.say_when_empty(self._said)

    def say_when_empty(self, text: str) -> None:
        """What stands in place of rows, in lines that fit."""
        self._said = text
        width = max(16, self.size.width - 5)
        lines = (fill(line, width) if len(line) > width else line for line in text.splitlines())
        self.set_empty("\n".join(lines))

    def on_unmount(self) -> None:
        self._unwatch_caption()

    def caption(self) -> tuple[list[Run], list[Run]]:
        """What stands in the rule above, after the name; and at its right end."""
        return ([Run(f"{self.feed.total:,}", Tone.DIM)] if self.feed.total else []), []

    def row_text(self) -> str:
        """The row under the cursor as text to copy."""
        row = self.cursor_row
        return "" if row is None else "\t".join(column.cell(row).text.strip() for column in self._columns)

    def _caption_may_change(self, change: Change) -> None:
        if change.total or change.trouble or change.whole:
            self.post_message(Recaptioned())
