"""How the virtual table is painted: line by line, and again only where a cell differs from what was painted last."""

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from console.feed import Feed
from console.formats import Tone
from console.themes import Palette
from console.widgets.columns import Cell, Column, Place, fit, lay_out
from console.widgets.looks import palette_of

RowT = TypeVar("RowT", bound=Any)

GUTTER = 3
"""The cursor, the mark, a blank."""

CURSOR, MARKED, STALE = 1, 2, 4
BOLD = Style(bold=True)


class _Line(NamedTuple):
    """A line as it was painted: its row's id, its cells from the gutter to the scroll bar, its mode bits."""

    row_id: str | None
    cells: tuple[Cell, ...]
    mode: int


_BLANK = _Line(None, (), 0)


class PaintedRows(Widget, Generic[RowT]):
    """The lines of a ledger: which rows are on the screen, where the cursor and the marks are, what was painted."""

    def __init__(
        self,
        feed: Feed[RowT],
        columns: Sequence[Column[RowT]],
        *,
        empty: str,
        ascii_only: bool,
        name: str | None,
        id: str | None,  # noqa: A002
        classes: str | None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.feed = feed
        self.ascii_only = ascii_only
        self._columns = tuple(columns)
        self._empty = empty
        self._pan = 0
        self._top = 0
        self._cursor = 0
        self._marks: dict[str, None] = {}
        self._places: tuple[Place, ...] = ()
        self._header: tuple[Cell, ...] = ()
        self._lines: list[_Line] = []
        self._drawn = Size(0, 0)
        self._drawn_top = 0
        self._told = False
        self._style_of: dict[tuple[Tone, int], Style] = {}
        self._palette: Palette | None = None
        self._ticker: Timer | None = None

    @property
    def page_rows(self) -> int:
        """How many rows the screen holds."""
        return max(1, self.size.height - 1)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._style_of.clear()

    def _keep_in_sight(self) -> None:
        highest = max(0, self.feed.total - self.page_rows)
        top = min(self._top, self._cursor)
        top = max(top, self._cursor - self.page_rows + 1)
        self._top = max(0, min(top, highest))
        self.feed.need(self._top, self._top + self.page_rows - 1)

    def _lay_out(self) -> None:
        self._keep_in_sight()
        self._arrange()
        self.refresh()
        self._mind_the_clock()

    def _arrange(self) -> None:
        """Puts every line together for the size there is."""
        self._drawn, self._drawn_top = self.size, self._top
        shown = self._columns[:1] + self._columns[1 + self._pan :]
        self._places = lay_out(shown, max(0, self.size.width - 2), GUTTER)
        self._header = self._header_cells()
        self._lines = [self._line(y) for y in range(1, self.size.height)]

    def _header_cells(self) -> tuple[Cell, ...]:
        marker = "v^" if self.ascii_only else "▾▴"
        cells = [Cell(" " * GUTTER)]
        for column, _, width in self._places:
            title = column.title
            if column.sort is not None and self.feed.sort.lstrip("-") == column.sort:
                arrow = marker[0 if self.feed.sort.startswith("-") else 1]
                title = f"{title}{arrow}" if len(title) < width else title[: width - 1] + arrow
            cells.append(Cell(fit(title, width, column.align), Tone.DIM))
        cells.append(Cell(" "))
        return tuple(cells)

    def _line(self, y: int) -> _Line:
        """The line at `y` of the widget as it should stand now."""
        index = self._top + y - 1
        row = self.feed.row_at(index) if index < self.feed.total else None
        bar = self._bar(y)
        mode = STALE if self.feed.stale else 0
        if index >= self.feed.total or (row is None and not self.feed.loaded):
            return _Line(None, (bar,), mode)
        at_cursor = index == self._cursor
        mode |= CURSOR if at_cursor else 0
        pointer = (">" if self.ascii_only else "▸") if at_cursor else " "
        if row is None:
            return _Line("", (Cell(f"{pointer}  "), Cell("…" if not self.ascii_only else "...", Tone.DIM), bar), mode)
        marked = row.id in self._marks
        mode |= MARKED if marked else 0
        ellipsis = "~" if self.ascii_only else "…"
        cells = [Cell(f"{pointer}{('*' if self.ascii_only else '•') if marked else ' '} ")]
        for column, _, width in self._places:
            text, tone = column.cell(row)
            cells.append(Cell(fit(text, width, column.align, ellipsis=ellipsis), tone))
        cells.append(bar)
        return _Line(row.id, tuple(cells), mode)

    def _bar(self, y: int) -> Cell:
        """What the scroll bar shows at line `y`: a thumb where the view is, nothing where all rows fit."""
        rows, total = self.page_rows, self.feed.total
        if total <= rows:
            return Cell(" ", Tone.RULE)
        size = max(1, rows * rows // total)
        first = (rows - size) * self._top // max(1, total - rows)
        inside = first <= y - 1 < first + size
        if self.ascii_only:
            return Cell("#" if inside else " ", Tone.RULE)
        return Cell("┃" if inside else " ", Tone.RULE)

    def _repaint(self, rows: frozenset[int] | None = None, *, header: bool = False) -> None:
        """Compares what should stand with what was painted, and refreshes what differs: in `rows`, or everywhere."""
        if self._drawn != self.size:
            return
        if header and (cells := self._header_cells()) != self._header:
            self._header = cells
            self.refresh(Region(0, 0, self.size.width, 1))
        if self._drawn_top != self._top:
            self._drawn_top, rows = self._top, None
        ys = range(1, self.size.height) if rows is None else [index - self._top + 1 for index in rows]
        regions: list[Region] = []
        for y in ys:
            if 1 <= y < self.size.height:
                was, now = self._lines[y - 1], self._line(y)
                if was != now:
                    self._lines[y - 1] = now
                    regions.append(self._difference(y, was, now))
        was_told, self._told = self._told, self._is_message_shown()
        if self._told or was_told:  # a message stands where lines are that may not differ
            regions = [self.size.region]
        if regions:
            self.refresh(*regions)
        self._mind_the_clock()

    def _is_message_shown(self) -> bool:
        return not self.feed.total

    def _difference(self, y: int, was: _Line, now: _Line) -> Region:
        """The part of line `y` that is not as it was.

        One stretch a line, from the first difference to the last: textual writes each stretch from the line's start.
        """
        edge = self.size.width - 1
        stop = edge if was.cells[-1:] == now.cells[-1:] else edge + 1
        whole = len(self._places) + 2
        if was.mode != now.mode or not len(was.cells) == len(now.cells) == whole:
            return Region(0, y, stop, 1)
        differ = [place for place, (old, new) in enumerate(zip(was.cells, now.cells, strict=True)) if old != new]
        first, (last, wide) = self._extent(differ[0])[0], self._extent(differ[-1])
        return Region(first, y, last + wide - first, 1)

    def _extent(self, place: int) -> tuple[int, int]:
        """First character and width of a line's cell: gutter, columns, scroll bar."""
        if place == 0:
            return 0, GUTTER
        if place > len(self._places):
            return self.size.width - 1, 1
        _, x, width = self._places[place - 1]
        return x, width

    def _mind_the_clock(self) -> None:
        """Ticks only while a row is on the screen whose text changes with the clock."""
        if self._ticker is None:
            return
        rows = (self.feed.row_at(self._top + y) for y in range(self.page_rows))
        minds = [place.column.ticks for place in self._places if place.column.ticks is not None]
        if not self.feed.stale and any(row is not None and any(tick(row) for tick in minds) for row in rows):
            self._ticker.resume()
        else:
            self._ticker.pause()

    def render_line(self, y: int) -> Strip:
        if self._drawn != self.size:
            self._arrange()
        if y == 0:
            return self._strip(_Line(None, self._header, 0))
        if y > len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        if self._is_message_shown():
            return self._message(y)
        return self._strip(self._lines[y - 1])

    def _message(self, y: int) -> Strip:
        """What is said in place of rows: why there are none."""
        trouble = self.feed.trouble
        said = trouble.message if trouble is not None else self._empty if self.feed.loaded else ""
        lines = said.splitlines()
        text = lines[y - 2] if 2 <= y < len(lines) + 2 else ""
        tone = Tone.DIM if trouble is None else Tone.WANTS
        return Strip([Segment(fit(" " * GUTTER + text, self.size.width), self._style(tone, 0))])

    def _strip(self, line: _Line) -> Strip:
        """A line as segments; neighbours that look the same are one."""
        segments: list[Segment] = []
        text, look, x = "", None, 0
        for start, wide, cell in self._spread(line.cells):
            text += " " * (start - x)
            if not cell.text.isspace():
                # What is blank looks like its neighbour: each change of look costs some 45 bytes.
                style = self._style(cell.tone, line.mode)
                if look is not None and style is not look:
                    segments.append(Segment(text, look))
                    text = ""
                look = style
            text += cell.text
            x = start + wide
        segments.append(Segment(text, look or self._style(Tone.TEXT, line.mode)))
        return Strip(segments, self.size.width)

    def _spread(self, cells: Sequence[Cell]) -> Iterator[tuple[int, int, Cell]]:
        """Each cell with its first character and its width; the last one is the scroll bar."""
        for place, cell in enumerate(cells[:-1]):
            if len(cells) == len(self._places) + 2:
                yield (*self._extent(place), cell)
            else:
                yield 0 if place == 0 else GUTTER, len(cell.text), cell
        yield self.size.width - 1, 1, cells[-1]

    def _style(self, tone: Tone, mode: int) -> Style:
        """How text of that tone looks in a line of that mode."""
        if mode & STALE:
            tone = Tone.DIM
        if not self.has_focus:
            mode &= ~CURSOR
        palette = palette_of(self)
        if palette is not self._palette:
            self._palette = palette
            self._style_of.clear()
        known = self._style_of.get((tone, mode))
        if known is None:
            known = self._style_of[tone, mode] = self._mix(palette, tone, mode)
        return known

    def _mix(self, palette: Palette, tone: Tone, mode: int) -> Style:
        if mode & CURSOR and palette.cursor.reverse:
            tone = Tone.TEXT  # turned round, each tone would be a ground of its own
        style = self.rich_style + palette.tone(tone)
        if mode & MARKED:
            style += BOLD
        if mode & CURSOR:
            style += palette.cursor
        return style
