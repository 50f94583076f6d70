"""The virtual table: it shows the rows that are on the screen, under a header, with a cursor and marks.

Its cost is that of the lines on the screen, however long the list is; `painted.py` says how little it writes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from textual import events
from textual.message import Message

from console.feed import Change, Feed
from console.widgets.columns import GAP, Column
from console.widgets.painted import PaintedRows

RowT = TypeVar("RowT", bound=Any)


class Ledger(PaintedRows[RowT], Generic[RowT], can_focus=True):
    """Rows of a feed under a header, with a cursor that stays on its row whatever comes above or below it."""

    DEFAULT_CSS = "Ledger { height: 1fr; width: 1fr; }"

    class Moved(Message):
        """The cursor stands on another row; None when there is none."""

        def __init__(self, ledger: "Ledger[Any]", row: Any) -> None:
            super().__init__()
            self.ledger = ledger
            self.row = row

        @property
        def control(self) -> "Ledger[Any]":
            return self.ledger

    class Opened(Message):
        """Someone opened the row under the cursor."""

        def __init__(self, ledger: "Ledger[Any]", row: Any) -> None:
            super().__init__()
            self.ledger = ledger
            self.row = row

        @property
        def control(self) -> "Ledger[Any]":
            return self.ledger

    class Marked(Message):
        """The marks changed; `ids` are all that are marked."""

        def __init__(self, ledger: "Ledger[Any]", ids: frozenset[str]) -> None:
            super().__init__()
            self.ledger = ledger
            self.ids = ids

        @property
        def control(self) -> "Ledger[Any]":
            return self.ledger

    def __init__(
        self,
        feed: Feed[RowT],
        columns: Sequence[Column[RowT]],
        *,
        empty: str = "",
        ascii_only: bool = False,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(feed, columns, empty=empty, ascii_only=ascii_only, name=name, id=id, classes=classes)
        self._cursor_id: str | None = None
        self._settled = False
        self._turn = feed.turn
        self._unwatch: Any = None

    # What stands where

    @property
    def cursor_index(self) -> int:
        return self._cursor

    @property
    def cursor_row(self) -> RowT | None:
        """The row under the cursor; None where the list is empty or the row is still on its way."""
        return self.feed.row_at(self._cursor) if self.feed.total else None

    @property
    def marks(self) -> frozenset[str]:
        """The ids that are marked, on the screen or not."""
        return frozenset(self._marks)

    @property
    def top(self) -> int:
        """The index of the first row on the screen."""
        return self._top

    # What a person does

    def move(self, rows: int) -> None:
        """Moves the cursor by so many rows, down where positive."""
        self._go(self._cursor + rows)

    def page(self, pages: int) -> None:
        """Moves by whole screens; the cursor keeps its place on the screen."""
        step = pages * max(1, self.page_rows - 1)
        highest = max(0, self.feed.total - self.page_rows)
        self._top = min(highest, max(0, self._top + step))
        self._go(self._cursor + step)

    def home(self) -> None:
        """To the first row; from there the ledger shows what comes first, whatever that is, until the cursor moves."""
        self._go(0)
        self._settled = False

    def end(self) -> None:
        self._go(self.feed.total - 1)

    def go_to(self, row_id: str) -> bool:
        """Puts the cursor on a row that is held; says whether it is."""
        index = self.feed.index_of(row_id)
        if index is None:
            return False
        self._go(index)
        return True

    def open(self) -> None:
        if (row := self.cursor_row) is not None:
            self.post_message(self.Opened(self, row))

    def toggle_mark(self) -> None:
        """Marks the row under the cursor, or takes the mark away, and goes on to the next."""
        row = self.cursor_row
        if row is None:
            return
        if self._marks.pop(row.id, self) is self:
            self._marks[row.id] = None
        self._marked()
        if self._cursor < self.feed.total - 1:
            self.move(1)

    def mark(self, ids: Iterable[str]) -> None:
        """Marks these as well."""
        self._marks |= dict.fromkeys(ids)
        self._marked()

    def clear_marks(self) -> None:
        if self._marks:
            self._marks.clear()
            self._marked()

    def pan(self, columns: int) -> None:
        """Moves the view by columns, to the right where positive; the first column stays."""
        self._pan = min(max(0, self._pan + columns), max(0, len(self._columns) - 2))
        self._lay_out()

    def set_empty(self, text: str) -> None:
        """What to say where there are no rows."""
        if text != self._empty:
            self._empty = text
            self.refresh()

    def sort_by(self, key: str) -> None:
        """Sorts by a column; once more turns it round."""
        field = next((column.sort for column in self._columns if column.key == key), None)
        if field is not None:
            self.feed.set_sort(f"-{field}" if self.feed.sort == field else field)

    # Life

    def on_mount(self) -> None:
        self._unwatch = self.feed.watch(self._changed)
        self._ticker = self.set_interval(1.0, self._tick, pause=True)

    def on_unmount(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    def on_resize(self) -> None:
        self._lay_out()

    def on_focus(self) -> None:
        self._repaint()

    def on_blur(self) -> None:
        self._repaint()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            for place in self._places:
                if place.x <= event.x < place.x + place.width + GAP:
                    self.sort_by(place.column.key)
            return
        index = self._top + event.y - 1
        if index < self.feed.total:
            if index == self._cursor and event.chain > 1:
                self.open()
            self._go(index)

    def on_mouse_scroll_down(self) -> None:
        self.move(3)

    def on_mouse_scroll_up(self) -> None:
        self.move(-3)

    # What changes

    def _marked(self) -> None:
        self.post_message(self.Marked(self, self.marks))
        self._repaint()

    def _go(self, index: int) -> None:
        """Puts the cursor on `index` and brings it on the screen."""
        self._settled = True
        was = self._cursor
        self._cursor = max(0, min(index, self.feed.total - 1))
        self._keep_in_sight()
        self._look()
        self._repaint(frozenset((was, self._cursor)))

    def _look(self) -> None:
        """Tells when another row is under the cursor."""
        row = self.cursor_row
        if row is None and self.feed.total:
            return
        row_id = None if row is None else row.id
        if row_id != self._cursor_id:
            self._cursor_id = row_id
            self.post_message(self.Moved(self, row))

    def _changed(self, change: Change) -> None:
        if change.whole:
            self._follow_row()
            self._keep_in_sight()
            self._look()
        if change.whole or change.stale or change.trouble:
            self._repaint(header=True)
        else:
            self._repaint(change.rows)

    def _follow_row(self) -> None:
        """The cursor goes where its row went, and the view with it, so that it stays where the eye is."""
        asked_anew, self._turn = self._turn != self.feed.turn, self.feed.turn
        if not self._settled:
            self._cursor = self._top = 0
            return
        index = None if self._cursor_id is None else self.feed.index_of(self._cursor_id)
        if index is not None:
            self._top = max(0, self._top + index - self._cursor)
            self._cursor = index
        elif asked_anew:
            self._cursor = self._top = 0
        else:
            self._cursor = max(0, min(self._cursor, self.feed.total - 1))

    def _tick(self) -> None:
        """A second has passed: what tells an age is told again."""
        self._repaint()
