"""The mirror: windows of the engine's lists, patched by what happens, at a cost that does not know their length."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from console.client import find_endpoint
from console.feed import Change
from console.link import Link
from console.mirror import Mirror
from console.rows import JobRow, TaskRow, UnreadableRow, build, patch
from tests.console.conftest import until
from tests.console.small_engine import SmallEngine, task


@asynccontextmanager
async def mirrored(engine: SmallEngine) -> AsyncIterator[Mirror]:
    mirror = Mirror(Link(lambda: find_endpoint(engine.home)).start())
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.stop()


async def ready(mirror: Mirror) -> None:
    await until(lambda: mirror.tasks.loaded and mirror.link.live)


async def test_holds_a_window_of_a_long_list(small_engine: SmallEngine) -> None:
    small_engine.rows = 100_000
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        assert mirror.tasks.total == 100_000
        mirror.tasks.need(70_000, 70_046)
        assert mirror.tasks.row_at(70_000) is None
        await until(lambda: mirror.tasks.row_at(70_000))
        row = mirror.tasks.row_at(70_000)
        assert row is not None
        assert row.id == task(70_000)["id"]
        assert mirror.tasks.index_of(row.id) == 70_000
        assert max(limit for _, limit in small_engine.windows) <= 200


async def test_scrolling_within_the_margin_asks_for_nothing(small_engine: SmallEngine) -> None:
    small_engine.rows = 100_000
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        mirror.tasks.need(500, 546)
        await until(lambda: mirror.tasks.row_at(500))
        asked = len(small_engine.windows)
        for first in range(480, 530):
            mirror.tasks.need(first, first + 46)
        assert len(small_engine.windows) == asked
        mirror.tasks.need(700, 746)
        await until(lambda: mirror.tasks.row_at(746))


async def test_an_event_changes_its_row_in_place_at_once(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        changes: list[Change] = []
        mirror.tasks.watch(changes.append)
        small_engine.turns(7, "running", gpu_ids=[1], started_at="2026-11-20T10:00:00+00:00")
        await until(lambda: changes)
        assert changes[0].rows == frozenset({7})
        row = mirror.tasks.row_at(7)
        assert row is not None
        assert (row.state, row.gpu_ids, row.started_at) == ("running", (1,), 1795168800.0)


async def test_rows_that_come_above_are_read_and_the_counts_too(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        new = task(0) | {"id": "new00000"}
        small_engine.first.append(new)
        small_engine.happens("task.queued", "new00000", **new)
        await until(lambda: mirror.tasks.total == 101)
        assert mirror.tasks.index_of("new00000") == 0
        assert mirror.tasks.index_of(str(task(0)["id"])) == 1
        await until(lambda: mirror.stats is not None and mirror.stats.seq == 1)


async def test_a_storm_of_events_is_a_handful_of_reads(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        before = len(small_engine.windows)
        for index in range(2_000):
            small_engine.turns(index % 100, "completed", exit_code=index)
        await until(lambda: mirror.events and mirror.events[-1].seq == 2_000)
        await until(lambda: mirror.tasks.seq == 2_000)
        assert len(small_engine.windows) - before <= 15
        row = mirror.tasks.row_at(99)
        assert row is not None
        assert row.exit_code == 1_999


async def test_an_answer_that_was_on_its_way_never_undoes_what_happened_since(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        states: list[str] = []
        mirror.tasks.watch(lambda _: states.append(mirror.tasks.rows[3].state))
        for turn in range(200):
            small_engine.turns(3, "running" if turn < 150 else "completed")
            mirror.tasks.refresh()
            await asyncio.sleep(0)
        await until(lambda: states and states[-1] == "completed" and mirror.tasks.seq == 200)
        assert states == sorted(states, key=["queued", "running", "completed"].index)


async def test_filter_and_sort_are_the_engines_and_start_at_the_top(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        mirror.tasks.need(60, 90)
        mirror.tasks.set_filter("sweep-1")
        await until(lambda: mirror.tasks.total == 11)
        assert mirror.tasks.held.start == 0
        small_engine.refused["/v1/tasks"] = (422, "filter: no field 'stat'")
        mirror.tasks.set_filter("stat:running")
        await until(lambda: mirror.tasks.trouble)
        assert mirror.tasks.trouble is not None
        assert mirror.tasks.trouble.message == "filter: no field 'stat'"
        assert mirror.tasks.total == 11, "what was there stays"
        small_engine.refused.clear()
        mirror.tasks.set_filter("")
        await until(lambda: mirror.tasks.total == 100 and mirror.tasks.trouble is None)


async def test_goes_stale_with_the_link_and_comes_back_with_it(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        changes: list[Change] = []
        mirror.tasks.watch(changes.append)
        small_engine.stop()
        await until(lambda: mirror.stale)
        assert mirror.tasks.stale
        assert changes[-1].stale
        assert len(mirror.tasks.rows) == 100, "what is old stays on the screen"
        small_engine.turns(5, "failed")
        small_engine.start()
        await until(lambda: not mirror.tasks.stale and mirror.tasks.rows[5].state == "failed")


async def test_commands_answer_in_a_future_that_never_raises(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        assert (await mirror.ask("DELETE", "/v1/tasks/t0000001")).ok
        small_engine.stop()
        answer = await mirror.ask("POST", "/v1/tasks/cancel", {"ids": ["t0000001"]})
        assert answer.trouble is not None
        assert answer.trouble.gone


async def test_a_tasks_page_stays_current_until_it_is_closed(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        detail = mirror.detail("t0000004")
        told: list[str] = []
        detail.watch(told.append)
        await until(lambda: detail.task)
        small_engine.turns(4, "running")
        await until(lambda: detail.task is not None and detail.task.state == "running")
        assert "task" in told
        detail.close()
        told.clear()
        small_engine.turns(4, "completed")
        await until(lambda: mirror.tasks.rows[4].state == "completed")
        assert told == []


async def test_an_engine_that_speaks_otherwise_is_named(small_engine: SmallEngine) -> None:
    async with mirrored(small_engine) as mirror:
        await ready(mirror)
        small_engine.first.append({"id": "x", "state": "queued"})
        mirror.tasks.refresh()
        await until(lambda: mirror.tasks.trouble)
        assert mirror.tasks.trouble is not None
        assert "no field 'job_name'" in mirror.tasks.trouble.message


def test_rows_are_read_by_name() -> None:
    row = build(TaskRow, task(1) | {"something_new": 1})
    assert (row.id, row.command) == ("t0000001", ("true",))
    assert patch(row, {"state": "queued"}) is row
    assert patch(row, {"state": "running", "something_new": 2}).state == "running"
    with pytest.raises(UnreadableRow, match="TaskRow: field 'created_at'"):
        build(TaskRow, task(1) | {"created_at": "yesterday"})
    with pytest.raises(UnreadableRow, match="not an object"):
        build(JobRow, [])
