"""A list of the engine of which a window is held: sorted and filtered by the engine, patched by what happens."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from console.link import Answer, Done, Trouble
from console.news import Changes
from console.rows import UnreadableRow, build, patch

READ_AGAIN_EVERY_S = 0.2
"""While rows come, go and move, the window is read again at most this often."""

MARGIN = 50
"""Rows held above and below what is on the screen, so that a page up or down finds them there."""

FIRST_ROWS = 100
MOST_ROWS = 1_000
"""The engine hands out no more at once."""


class Keyed(Protocol):
    @property
    def id(self) -> str: ...


RowT = TypeVar("RowT", bound=Any)
Get = Callable[[str, Mapping[str, object], Done], None]


@dataclass(frozen=True, slots=True)
class Change:
    """What is different: rows by their index, or (`whole`) any of them; `total` and `stale` when those are."""

    rows: frozenset[int] = frozenset()
    whole: bool = False
    total: bool = False
    stale: bool = False
    trouble: bool = False


class Feed(Generic[RowT]):
    """Rows `first` to `first + len(held)` of a list of `total`. Reads when someone needs what is not held."""

    def __init__(
        self, get: Get, path: str, kind: type[RowT], *, rows_at: str = "rows", sort: str = "", whole: bool = False
    ) -> None:
        self._get, self._path, self._kind, self._rows_at, self._whole = get, path, kind, rows_at, whole
        self.sort = sort
        self.filter = ""
        self.query: dict[str, object] = {}
        self.total = 0
        self.loaded = False
        self.stale = False
        self.trouble: Trouble | None = None
        self.seq = 0
        self.turn = 0
        self.on_answer: Callable[[Answer], None] | None = None
        self._first = 0
        self._held: list[RowT] = []
        self._where: dict[str, int] = {}
        self._need = (0, FIRST_ROWS - 1)
        self._watchers: list[Callable[[Change], None]] = []
        self._asked: tuple[int, int] | None = None
        self._ask_turn = 0
        self._again = False
        self._read_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._meanwhile: dict[str, Changes] = {}

    @property
    def rows(self) -> tuple[RowT, ...]:
        """The rows that are held."""
        return tuple(self._held)

    @property
    def held(self) -> range:
        """The indexes of the rows that are held."""
        return range(self._first, self._first + len(self._held))

    def row_at(self, index: int) -> RowT | None:
        """The row at `index`; None where there is none, or it is not here yet."""
        place = index - self._first
        return self._held[place] if 0 <= place < len(self._held) else None

    @property
    def reading(self) -> bool:
        """A window has been asked for and is not here yet."""
        return self._asked is not None

    def index_of(self, row_id: str) -> int | None:
        """Where the row with that id stands, if it is held."""
        return self._where.get(row_id)

    def watch(self, changed: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `changed` after each change; returns how to end that."""
        self._watchers.append(changed)
        return partial(self._watchers.remove, changed)

    def need(self, first: int, last: int) -> None:
        """Says which rows are on the screen. They, and some around them, are read if they are not held."""
        self._need = (max(0, first), max(first, last))
        if not self._covers(first, last):
            self._read()

    def set_sort(self, sort: str) -> None:
        """`field`, or `-field` for the other way round. The rows shown stay until the new ones are there."""
        if sort != self.sort:
            self.sort = sort
            self._ask_anew()

    def set_filter(self, text: str) -> None:
        """The engine's filter language; one it can't read leaves the rows as they are and sets `trouble`."""
        if text != self.filter:
            self.filter = text
            self._ask_anew()

    def _ask_anew(self) -> None:
        first, last = self._need
        self._need = (0, last - first)
        self.turn += 1
        self.refresh()

    def refresh(self) -> None:
        """Reads the window again, now."""
        self._ask_turn += 1
        self._asked = None
        self._read()

    def set_stale(self, stale: bool) -> None:
        if stale != self.stale:
            self.stale = stale
            self._tell(Change(stale=True))

    def apply(self, changes: Mapping[str, Changes]) -> None:
        """Patches the rows that are held with what happened, and reads the window again where rows may have moved."""
        if not changes:
            return
        touched: set[int] = set()
        for row_id, change in changes.items():
            if self._asked is not None:
                self._remember(row_id, change)
            if change.seq > self.seq and (index := self._where.get(row_id)) is not None and self._patch(index, change):
                touched.add(index)
        if touched:
            self._tell(Change(rows=frozenset(touched)))
        if any(change.seq > self.seq for change in changes.values()):
            self._read_soon()

    def _remember(self, row_id: str, change: Changes) -> None:
        known = self._meanwhile.get(row_id)
        fields = {**known.fields, **change.fields} if known is not None else change.fields
        self._meanwhile[row_id] = Changes(change.seq, fields)

    def _patch(self, index: int, change: Changes) -> bool:
        before = self._held[index - self._first]
        try:
            after = patch(before, change.fields)
        except UnreadableRow as error:
            self._fail(Trouble(str(error)))
            return False
        self._held[index - self._first] = after
        return after is not before

    def _covers(self, first: int, last: int) -> bool:
        if not self.loaded:
            return False
        return first >= self._first and min(last, self.total - 1) < self._first + len(self._held)

    def _read_soon(self) -> None:
        if self._asked is not None:
            self._again = True
        elif self._timer is None:
            wait = max(0.0, self._read_at + READ_AGAIN_EVERY_S - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._read)

    def _read(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first, last = self._need
        offset = max(0, first - MARGIN)
        limit = min(MOST_ROWS, last - offset + 1 + MARGIN)
        if self._asked is not None:
            self._again = True
            return
        self._asked = (offset, limit)
        self._read_at = time.monotonic()
        query: dict[str, object] = dict(self.query)
        if not self._whole:
            query |= {"offset": offset, "limit": limit}
        if self.sort:
            query["sort"] = self.sort
        if self.filter:
            query["filter"] = self.filter
        self._get(self._path, query, partial(self._answered, self._ask_turn, offset))

    def _answered(self, turn: int, offset: int, answer: Answer) -> None:
        if turn != self._ask_turn:
            return
        asked, self._asked = self._asked, None
        meanwhile, self._meanwhile = self._meanwhile, {}
        if answer.trouble is not None:
            self._fail(answer.trouble)
        else:
            self._take(offset, answer.value, meanwhile)
        if self.on_answer is not None:
            self.on_answer(answer)
        again, self._again = self._again, False
        moved_on = asked is not None and not (asked[0] <= self._need[0] and self._need[1] < asked[0] + asked[1])
        if answer.ok and (again or (moved_on and not self._covers(*self._need))):
            self._read_soon()

    def _take(self, offset: int, value: Mapping[str, Any], meanwhile: Mapping[str, Changes]) -> None:
        try:
            rows = [build(self._kind, one) for one in value[self._rows_at]]
            total, seq = int(value.get("total", len(rows))), int(value.get("seq", 0))
        except (UnreadableRow, KeyError, TypeError, ValueError) as error:
            self._fail(Trouble(f"the engine answers in a shape that this console does not know: {error}"))
            return
        grew = total != self.total or not self.loaded
        trouble = self.trouble is not None
        self._first, self._held, self.total, self.seq = offset, rows, total, seq
        self._where = {row.id: offset + place for place, row in enumerate(rows)}
        self.loaded, self.trouble = True, None
        for row_id, change in meanwhile.items():
            if change.seq > seq and (index := self._where.get(row_id)) is not None:
                self._patch(index, change)
        self._tell(Change(whole=True, total=grew, trouble=trouble))

    def _fail(self, trouble: Trouble) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._tell(Change(trouble=True))

    def _tell(self, change: Change) -> None:
        for changed in tuple(self._watchers):
            changed(change)
