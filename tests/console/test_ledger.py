"""The virtual table: what it shows, where its cursor stays, and how little it writes."""

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from console.client import find_endpoint
from console.formats import Tone
from console.link import Link
from console.mirror import Mirror
from console.rows import TaskRow
from console.widgets.columns import GAP, Cell, Column, fit, lay_out
from console.widgets.ledger import Ledger
from tests.console.conftest import until
from tests.console.small_engine import SmallEngine, task

COLUMNS = (
    Column[TaskRow]("id", "ID", 8, lambda row: row.id, sort="id"),
    Column[TaskRow]("name", "NAME", 12, lambda row: row.job_name, least=6, flex=1, sort="job_name"),
    Column[TaskRow]("state", "STATE", 9, lambda row: Cell(row.state, Tone.DIM)),
    Column[TaskRow]("priority", "PRI", 3, lambda row: str(row.priority), "right", spare=1),
    Column[TaskRow]("error", "ERROR", 10, lambda row: row.error or "", spare=2),
)


class Screen(App[None]):
    def __init__(self, engine: SmallEngine, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.mirror = Mirror(Link(lambda: find_endpoint(engine.home)).start())
        self.heard: list[object] = []
        self.ascii_only = ascii_only

    def compose(self) -> ComposeResult:
        yield Ledger(self.mirror.tasks, COLUMNS, empty="Nothing here.\nPress n.", ascii_only=self.ascii_only)

    def on_mount(self) -> None:
        self.mirror.start()

    def on_unmount(self) -> None:
        self.mirror.stop()

    def on_ledger_moved(self, message: Ledger.Moved) -> None:
        self.heard.append(("moved", message.row and message.row.id))

    def on_ledger_opened(self, message: Ledger.Opened) -> None:
        self.heard.append(("opened", message.row.id))

    def on_ledger_marked(self, message: Ledger.Marked) -> None:
        self.heard.append(("marked", message.ids))

    @property
    def ledger(self) -> Ledger[TaskRow]:
        return self.query_one(Ledger)

    def lines(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips()]

    @property
    def cursor_line(self) -> str:
        return next(line for line in self.lines() if line.startswith(("▸", ">")))


@asynccontextmanager
async def on_screen(
    engine: SmallEngine, size: tuple[int, int] = (60, 12), *, ascii_only: bool = False
) -> AsyncIterator[tuple[Screen, Pilot[None]]]:
    app = Screen(engine, ascii_only=ascii_only)
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.mirror.tasks.loaded and app.mirror.link.live)
        await pilot.pause()
        yield app, pilot


async def test_shows_the_rows_under_a_header(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, _):
        lines = app.lines()
        assert lines[0].split() == ["ID", "NAME", "STATE", "PRI", "ERROR"]
        assert lines[1].split()[:5] == ["▸", "t0000000", "sweep-0", "queued", "5"]
        assert lines[1].index("5") == lines[0].index("PRI") + 2, "numbers stand at the right"
        assert lines[11].split()[:2] == ["t0000010", "sweep-10"]
        assert app.heard[-1] == ("moved", "t0000000")


async def test_says_why_it_is_empty(small_engine: SmallEngine) -> None:
    small_engine.rows = 0
    async with on_screen(small_engine) as (app, pilot):
        assert app.lines()[2:4] == ["   Nothing here.", "   Press n."]
        small_engine.rows = 3
        small_engine.turns(0, "queued")
        await until(lambda: app.mirror.tasks.total == 3)
        await pilot.pause()
        assert "t0000002" in app.lines()[3]


async def test_the_cursor_stays_on_its_row_and_on_its_line(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, pilot):
        app.ledger.move(4)
        await pilot.pause()
        place = app.lines().index(app.cursor_line)
        app.heard.clear()
        for number in range(3):
            small_engine.first.insert(0, task(0) | {"id": f"new{number:05d}"})
        small_engine.happens("task.queued", "new00000", state="queued")
        await until(lambda: app.mirror.tasks.total == 103)
        await pilot.pause()
        assert "t0000004" in app.cursor_line
        assert app.lines().index(app.cursor_line) == place
        assert app.ledger.cursor_index == 7
        assert app.heard == []


async def test_until_someone_moves_it_shows_what_comes_first(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, pilot):
        small_engine.first.insert(0, task(0) | {"id": "new00000"})
        small_engine.happens("task.queued", "new00000", state="queued")
        await until(lambda: app.mirror.tasks.total == 101)
        await pilot.pause()
        assert "new00000" in app.cursor_line
        assert app.lines()[1] == app.cursor_line


async def test_a_row_that_goes_leaves_the_cursor_to_the_next(small_engine: SmallEngine) -> None:
    small_engine.first = [task(900), task(901)]
    async with on_screen(small_engine) as (app, pilot):
        app.ledger.move(1)
        await pilot.pause()
        del small_engine.first[1]
        small_engine.turns(50, "running")
        await until(lambda: app.mirror.tasks.total == 101)
        await pilot.pause()
        assert "t0000000" in app.cursor_line
        assert app.heard[-1] == ("moved", "t0000000")


async def test_moves_far_and_near(small_engine: SmallEngine) -> None:
    small_engine.rows = 100_000
    async with on_screen(small_engine) as (app, pilot):
        ledger = app.ledger
        ledger.end()
        await until(lambda: ledger.cursor_row is not None)
        await pilot.pause()
        assert "t0099999" in app.cursor_line
        assert app.lines()[11] == app.cursor_line
        ledger.page(-1)
        await until(lambda: ledger.cursor_row is not None)
        await pilot.pause()
        assert ledger.cursor_index == 99_989
        ledger.home()
        await until(lambda: ledger.cursor_row is not None)
        ledger.move(-5)
        await pilot.pause()
        assert ledger.cursor_index == 0
        ledger.open()
        assert ledger.go_to("t0000003")
        assert not ledger.go_to("nowhere")
        await pilot.pause()
        assert ("opened", "t0000000") in app.heard
        assert "t0000003" in app.cursor_line


async def test_marks_stay_with_their_rows(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, pilot):
        app.ledger.toggle_mark()
        app.ledger.toggle_mark()
        await pilot.pause()
        assert app.ledger.marks == {"t0000000", "t0000001"}
        assert app.lines()[1].startswith(" • t0000000")
        app.ledger.move(-1)
        app.ledger.toggle_mark()
        await pilot.pause()
        assert app.heard[-1] == ("moved", "t0000002")
        assert ("marked", frozenset({"t0000000"})) in app.heard
        app.ledger.mark(["t0000050"])
        app.ledger.clear_marks()
        assert app.ledger.marks == frozenset()


async def test_what_is_old_is_dimmed_and_stays(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, pilot):

        def colour() -> object:
            return app.screen._compositor.render_strips()[2]._segments[0].style

        fresh = colour()
        small_engine.stop()
        await until(lambda: app.mirror.stale)
        await pilot.pause()
        assert "t0000001" in app.lines()[2]
        assert colour() != fresh
        small_engine.start()
        await until(lambda: not app.mirror.stale)
        await pilot.pause()
        assert colour() == fresh


async def test_ascii_has_no_glyph_beyond_it(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine, ascii_only=True) as (app, pilot):
        app.ledger.toggle_mark()
        app.ledger.sort_by("name")
        await until(lambda: app.mirror.tasks.sort == "job_name")
        await pilot.pause()
        assert all(line.isascii() for line in app.lines())
        assert "NAME^" in app.lines()[0]


async def test_sorts_by_a_column_and_the_other_way_round(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, pilot):
        app.ledger.move(5)
        app.ledger.sort_by("name")
        await pilot.pause()
        app.ledger.sort_by("name")
        assert app.mirror.tasks.sort == "-job_name"
        app.ledger.sort_by("state")
        assert app.mirror.tasks.sort == "-job_name", "that column has no field to sort by"


@pytest.mark.parametrize("width", range(10, 120, 7))
def test_columns_share_the_width_there_is(width: int) -> None:
    places = lay_out(COLUMNS, width, 3)
    assert places[0].column.key == "id"
    for place, after in itertools.pairwise(places):
        assert after.x == place.x + place.width + GAP
    assert places[-1].x + places[-1].width <= width
    if width >= 40:
        assert places[-1].x + places[-1].width == width
        assert {"id", "name", "state"} <= {place.column.key for place in places}


def test_columns_go_in_the_order_in_which_they_can_be_spared() -> None:
    shown = [{place.column.key for place in lay_out(COLUMNS, width, 3)} for width in (60, 40, 32)]
    assert shown == [
        {"id", "name", "state", "priority", "error"},
        {"id", "name", "state", "priority"},
        {"id", "name", "state"},
    ]


@pytest.mark.parametrize(
    ("text", "width", "align", "shown"),
    [
        ("abc", 5, "left", "abc  "),
        ("abc", 5, "right", "  abc"),
        ("abcdef", 5, "left", "abcd…"),
        ("日本語", 5, "left", "日本…"),
        ("日本", 5, "right", " 日本"),
        ("a\x1b[31mb", 9, "left", "a�[31mb  "),
        ("a\nb", 3, "left", "a�b"),
    ],
)
def test_text_fits_its_cell_exactly_and_cannot_act_on_the_terminal(
    text: str, width: int, align: str, shown: str
) -> None:
    assert fit(text, width, align) == shown


def test_fitting_is_cheap_enough_for_a_whole_screen() -> None:
    started = time.perf_counter()
    for _ in range(500):
        fit("sweep-lr-0034", 20)
    assert time.perf_counter() - started < 0.05
