"""The log view: the end as it grows, any part of an output, and search through all of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from console.client import find_endpoint
from console.link import Link
from console.mirror import Mirror
from console.widgets.log_view import LogView
from tests.console.conftest import until
from tests.console.small_engine import SmallEngine

TASK = "t0000001"
HEIGHT = 10


class Screen(App[None]):
    def __init__(self, engine: SmallEngine) -> None:
        super().__init__()
        self.mirror = Mirror(Link(lambda: find_endpoint(engine.home)).start())
        self.changes = 0

    def compose(self) -> ComposeResult:
        yield LogView(self.mirror, empty="Nothing to see.")

    def on_mount(self) -> None:
        self.mirror.start()

    def on_unmount(self) -> None:
        self.mirror.stop()

    def on_log_view_changed(self) -> None:
        self.changes += 1

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def lines(self) -> list[str]:
        strips = self.screen._compositor.render_strips()
        return [strip.text.rstrip("┃").rstrip() for strip in strips]

    async def until_line(self, text: str) -> None:
        try:
            await until(lambda: text in self.lines())
        except TimeoutError:
            raise AssertionError(f"{text!r} is not among {self.lines()}") from None


@asynccontextmanager
async def on_screen(engine: SmallEngine) -> AsyncIterator[tuple[Screen, Pilot[None]]]:
    app = Screen(engine)
    async with app.run_test(size=(60, HEIGHT)) as pilot:
        await until(lambda: app.mirror.link.live)
        yield app, pilot


def numbered(first: int, stop: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(first, stop))


async def test_follows_the_end_as_it_grows(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, numbered(0, 100))
    async with on_screen(small_engine) as (app, _):
        assert app.lines()[0] == "Nothing to see."
        app.view.show(TASK)
        await app.until_line("line 99")
        assert app.lines() == [f"line {number}" for number in range(90, 100)]
        small_engine.prints(TASK, b"line 100\nhalf a l")
        await app.until_line("half a l")
        small_engine.prints(TASK, b"ine\n")
        await app.until_line("half a line")
        assert app.lines()[-2] == "line 100"
        small_engine.ends(TASK)
        await until(lambda: app.view.ended)


async def test_every_line_can_be_reached_and_none_is_missing(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, numbered(0, 30_000))
    small_engine.ends(TASK)
    async with on_screen(small_engine) as (app, _):
        app.view.show(TASK)
        await app.until_line("line 29999")
        app.view.home()
        await app.until_line("line 0")
        assert not app.view.following
        seen: list[str] = []
        while len(seen) < 12_000:
            page = app.view.visible_text().split("\n")
            seen += page if not seen else page[1:]
            app.view.move(len(page) - 1)
            await until(lambda: not app.view._asking)
        assert seen[:12_000] == [f"line {number}" for number in range(12_000)]
        app.view.end()
        await app.until_line("line 29999")
        app.view.page(-1)
        await app.until_line("line 29981")
        assert not app.view.following


async def test_moving_up_stops_the_following_and_the_end_takes_it_up(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, numbered(0, 100))
    async with on_screen(small_engine) as (app, pilot):
        app.view.show(TASK)
        await app.until_line("line 99")
        app.view.move(-20)
        await pilot.pause()
        assert not app.view.following
        small_engine.prints(TASK, numbered(100, 200))
        app.view.move(1)
        await pilot.pause()
        assert app.lines()[0] == "line 71", "nothing moves what someone reads"
        app.view.end()
        await app.until_line("line 199")
        assert app.view.following
        small_engine.prints(TASK, b"more\n")
        await app.until_line("more")


async def test_searches_the_whole_output_both_ways(small_engine: SmallEngine) -> None:
    output = numbered(0, 100_000).replace(b"line 7\n", b"the Needle\n").replace(b"line 90000\n", b"a needle\n")
    small_engine.prints(TASK, output.replace(b"line 90001\n", b"\x1b[31mneed\x1b[0mle again\n"))
    small_engine.ends(TASK)
    async with on_screen(small_engine) as (app, _):
        app.view.show(TASK)
        await app.until_line("line 99999")
        app.view.needle = "needle"
        for line in ("needle again", "a needle", "the Needle"):
            app.view.previous_match()
            await until(lambda: not app.view.searching)
            await app.until_line(line)
        app.view.previous_match()
        await until(lambda: app.view.search_state is not None and app.view.search_state.over)
        app.view.search("needle")
        await until(lambda: not app.view.searching)
        app.view.next_match()
        await app.until_line("a needle")
        assert "needle again" in app.lines()
        app.view.end()
        await until(lambda: app.view.following)
        app.view.search("a needle")  # the end is followed: what stands above is what was meant
        await until(lambda: not app.view.searching)
        await app.until_line("a needle")
        app.view.search("Needle")
        await until(lambda: not app.view.searching)
        assert app.view.search_state is not None
        assert app.view.search_state.at is None, "capitals count where there are some"


async def test_a_search_can_be_given_up(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, numbered(0, 400_000))
    small_engine.ends(TASK)
    async with on_screen(small_engine) as (app, _):
        app.view.show(TASK)
        await app.until_line("line 399999")
        app.view.home()
        await app.until_line("line 0")
        app.view.search("nowhere to be found")
        await until(lambda: app.view.search_state)
        app.view.give_up_search()
        asked = small_engine.asked[f"/v1/tasks/{TASK}/logs"]
        await asyncio.sleep(0.1)
        assert small_engine.asked[f"/v1/tasks/{TASK}/logs"] <= asked + 1


async def test_says_when_there_is_nothing(small_engine: SmallEngine) -> None:
    async with on_screen(small_engine) as (app, _):
        app.view.show(TASK)
        await app.until_line("no output yet")
        small_engine.prints(TASK, b"hello\n")
        await app.until_line("hello")
        small_engine.ends("t0000002")
        app.view.show("t0000002")
        await app.until_line("it printed nothing")
        small_engine.refused["/v1/tasks/t0000003/logs"] = (403, "not for you")
        app.view.show("t0000003")
        await app.until_line("not for you")
        app.view.show(None)
        await app.until_line("Nothing to see.")


async def test_goes_on_where_it_was_when_the_engine_comes_back(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, numbered(0, 50))
    async with on_screen(small_engine) as (app, _):
        app.view.show(TASK)
        await app.until_line("line 49")
        small_engine.stop()
        await until(lambda: app.mirror.stale)
        assert "line 49" in app.lines()
        small_engine.prints(TASK, numbered(50, 80))
        small_engine.start()
        await app.until_line("line 79")
        assert app.lines() == [f"line {number}" for number in range(70, 80)]


async def test_an_output_that_outruns_the_screen_is_followed_at_its_end(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, b"first\n")
    async with on_screen(small_engine) as (app, pilot):
        app.view.show(TASK)
        await app.until_line("first")
        for start in range(0, 400_000, 20_000):
            small_engine.prints(TASK, numbered(start, start + 20_000))
        await app.until_line("line 399999")
        assert len(app.view._buffer.lines) <= 20_000
        app.view.home()
        await app.until_line("first")
        await pilot.pause()
        assert app.lines()[:3] == ["first", "line 0", "line 1"]


async def test_long_lines_are_cut_and_can_be_panned(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, ("x" * 100 + "日本語" * 30 + "end\n").encode())
    small_engine.ends(TASK)
    async with on_screen(small_engine) as (app, pilot):
        app.view.show(TASK)
        await app.until_line("x" * 59)
        app.view.pan(96)
        await pilot.pause()
        assert app.lines()[0].startswith("xxxx日本語")
        assert all(len(strip.text) <= 60 for strip in app.screen._compositor.render_strips())
        assert app.view.visible_text().endswith("end")


async def test_a_line_without_an_end_is_not_read_to_its_start(small_engine: SmallEngine) -> None:
    small_engine.prints(TASK, b"start\n" + b"x" * (30 << 20) + b"\nend\n")
    small_engine.ends(TASK)
    async with on_screen(small_engine) as (app, _):
        app.view.show(TASK)
        await app.until_line("end")
        await until(lambda: not app.view._asking)
        assert small_engine.asked[f"/v1/tasks/{TASK}/logs"] < 200
        app.view.home()
        await app.until_line("start")
