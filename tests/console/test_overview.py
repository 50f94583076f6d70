"""The overview as a person meets it: what stands where, where keys go, what happens when the engine goes."""

import time
from pathlib import Path

import pytest

from console.formats import Tone
from tests.console.canned import CannedLink, answers, at, task
from tests.console.screen import canned


async def test_at_80x24_there_is_one_pane_under_tabs_and_a_glimpse_of_the_log(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        text = await screen.shows("step   413")
        lines = text.splitlines()
        assert "gpu-box-1" in lines[0]
        assert "cpu 13/16  mem 31/64G  gpu 2/4" in lines[0]
        assert lines[1].startswith(" 1 queue 13  2 jobs  3 phases  4 costs  5 approvals")
        assert "running 4 · queued 13 · failed 1 today" in lines[2]
        assert "▶ running" in lines[4]
        assert "─ log ─ sweep-lr-003 · attempt 1" in text
        assert "No jobs yet" not in text


async def test_at_200x50_everything_stands_together(tmp_path: Path) -> None:
    async with canned(tmp_path, (200, 50)) as screen:
        await screen.shows("1 queue", "2 jobs", "3 phases", "4 costs", "5 approvals", "─ log ─ sweep-lr-003")


async def test_an_empty_pane_says_what_will_stand_there_and_how(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        for key, said in [
            ("2", "shopfloor job start KIND"),
            ("3", "the job under the cursor will stand here"),
            ("4", "Nothing spent."),
            ("5", "Silence approves nothing."),
            ("6", "shopfloor jupyter start"),
            ("7", "each step of every task"),
        ]:
            await screen.press(key)
            await screen.shows(said)


async def test_an_empty_queue_says_how_to_fill_it(tmp_path: Path) -> None:
    nothing = {**answers(), "GET /v1/tasks": {"tasks": [], "total": 0, "seq": 1}}
    async with canned(tmp_path, link=CannedLink(nothing)) as screen:
        await screen.shows("The queue is empty.", "opens the submit form")


async def test_the_row_under_the_cursor_drives_the_log(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.shows("─ log ─ sweep-lr-003")
        await screen.press("j", "j")
        await screen.shows("─ log ─ tokenize-shards")
        await screen.press("k")
        await screen.shows("─ log ─ sweep-lr-004")


async def test_numbers_jump_tab_moves_and_z_zooms(tmp_path: Path) -> None:
    async with canned(tmp_path, (120, 30)) as screen:
        desk = screen.app.desk
        await screen.press("5")
        await screen.until(lambda: desk.focused is desk.pane("approvals"))
        await screen.press("tab")
        await screen.until(lambda: desk.focused is desk.pane("queue"))
        await screen.press("tab")
        await screen.until(lambda: desk.focused is desk.pane("log"))
        await screen.press("z")
        await screen.hides("2 jobs ─")
        await screen.press("z")
        await screen.shows("─ 2 jobs ")
        await screen.press("7")
        await screen.shows("each step of every task")
        await screen.press("1")
        await screen.shows("─ 2 jobs ")


async def test_a_key_that_does_nothing_here_says_why(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("X")
        await screen.shows("X does nothing here; ? shows the keys")
        await screen.press("r")
        await screen.shows("retry: only what has ended; sweep-lr-003 is running")
        await screen.press("2", "x")
        await screen.shows("x: cancel works in the queue and a task's page")
        await screen.press("1")
        await screen.shows("? keys")


async def test_help_shows_the_keys_of_where_one_is(tmp_path: Path) -> None:
    async with canned(tmp_path, (120, 70)) as screen:
        await screen.press("?")
        await screen.shows(":cancel [FILTER]", "Not now: only what has ended;", "moving")
        await screen.press("escape", "l", "?")
        await screen.shows("the log", "Stay at the end as it grows")
        await screen.hides(":cancel [FILTER]")


async def test_what_arrives_moves_neither_cursor_nor_focus(tmp_path: Path) -> None:
    table = answers()
    window = table["GET /v1/tasks"]
    table["GET /v1/tasks"] = lambda query, body: {
        **window(query, body),
        "tasks": [
            task("newest00", "just-arrived", "running", started_at=at(time.time())),
            *window(query, body)["tasks"],
        ],
        "total": window(query, body)["total"] + 1,
        "seq": 99,
    }
    link = CannedLink(answers())
    async with canned(tmp_path, link=link) as screen:
        await screen.press("j")
        queue = screen.app.desk.queue
        await screen.until(lambda: queue.cursor_row.id == "7fk2q2cd")
        link.answers = table
        link.happen(98, "newest00", state="running", job_name="just-arrived", attempt=1)
        await screen.until(lambda: screen.app.mirror.tasks.index_of("newest00") == 0)
        await screen.pilot.pause()
        assert queue.cursor_row.id == "7fk2q2cd"
        assert screen.app.desk.focused is queue


async def test_a_lost_engine_is_said_with_its_age_and_keys_say_so(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        screen.link.turn("lost", time.time() - 12)
        text = await screen.shows("engine gone since 12s, trying again; what you see is from")
        assert "sweep-lr-003" in text
        await screen.press("x")
        await screen.shows("cancel: not while the engine is gone")
        screen.link.turn("live", time.time())
        await screen.shows("● live")


async def test_no_clock_runs_while_nothing_is_live(tmp_path: Path) -> None:
    ended = {
        **answers(),
        "GET /v1/tasks": {"tasks": [task("a0000001", "done", "completed", ended_at=at(1e9))], "total": 1, "seq": 1},
    }
    async with canned(tmp_path, link=CannedLink(ended)) as screen:
        await screen.shows("✔ completed")
        running = [
            timer
            for node in [screen.app, *screen.app.screen.walk_children(with_self=True)]
            for timer in node._timers
            if timer._active.is_set()
        ]
        assert not running


@pytest.mark.parametrize("size", [(60, 20), (40, 8), (100, 10), (300, 100)])
async def test_it_is_usable_at_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    async with canned(tmp_path, size) as screen:
        await screen.shows("▶ running", "? keys")


async def test_too_small_says_so_and_recovers(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.pilot.resize_terminal(30, 5)
        await screen.shows("too small")
        await screen.pilot.resize_terminal(80, 24)
        await screen.shows("▶ running", "? keys")
        await screen.pilot.resize_terminal(200, 50)
        await screen.shows("5 approvals", "▶ running")


async def test_sorting_by_keys_and_by_name(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        feed = screen.app.mirror.tasks
        await screen.press(">")
        assert feed.sort == "id"
        await screen.press("o")
        assert feed.sort == "-id"
        await screen.shows("▾id")
        await screen.press("s", "j", "enter")
        await screen.until(lambda: feed.sort == "job_name")
        await screen.press(":")
        await screen.type("sort -priority")
        await screen.press("enter")
        await screen.until(lambda: feed.sort == "-priority")


async def test_the_palette_does_what_is_chosen(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("ctrl+p")
        await screen.shows("palette", "copy id")
        await screen.type("goappr")
        await screen.press("enter")
        await screen.shows("Silence approves nothing.")


async def test_the_mouse_is_given_back(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        assert screen.app.mouse_on
        await screen.press("m")
        await screen.shows("the mouse is the terminal's")
        await screen.press("m")
        await screen.shows("the mouse is ours")


async def test_a_pane_that_was_on_the_screen_before_comes_back_whole_and_alone(tmp_path: Path) -> None:
    """Each pane is gone over twice: the second time nothing is mounted that would have the screen arranged anew."""
    async with canned(tmp_path) as screen:
        for _ in range(2):
            for key, shown in [("l", "step   413"), ("2", "No jobs yet"), ("4", "Nothing spent."), ("1", "▶ running")]:
                await screen.press(key)
                await screen.shows(shown)
                if key in "l4":
                    assert " PRI " not in screen.text()
                    await screen.hides("No jobs yet")
        for _ in range(2):
            await screen.press("z")
            await screen.hides("step   413")
            await screen.press("escape")
            await screen.shows("step   413", "▶ running")


async def test_escape_leads_back_to_the_queue_and_stays_there(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("5")
        await screen.shows("Nothing waits for you.", "esc back")
        await screen.press("escape")
        await screen.shows("enter open")
        await screen.press("escape")
        await screen.shows("back: you are at the queue")


async def test_a_key_is_told_only_of_the_nearest_that_it_does(tmp_path: Path) -> None:
    async with canned(tmp_path, (120, 70)) as screen:
        await screen.press("l")
        text = await screen.shows("n next")
        assert "n new" not in text.splitlines()[-1]
        await screen.press("?")
        await screen.shows("To the next place of the text.")
        assert not [line for line in screen.text().splitlines() if ":submit" in line and "│  n " in line]


async def test_what_has_no_room_in_a_line_is_said_in_more(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":")
        await screen.type("theme no-such")
        await screen.press("enter")
        text = await screen.shows("there is no theme 'no-such'; there are")
        assert "terminal" in text.splitlines()[-1]
        await screen.press("j")
        await screen.shows("enter open")
        await screen.hides("no-such")


async def test_a_lost_engine_turns_the_captions_grey_and_a_filter_waits(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        desk = screen.app.desk
        assert any(run.tone == Tone.BAD for run in desk.caption("queue")[0])
        screen.link.turn("lost", time.time() - 12)
        await screen.shows("engine gone since 12s")
        assert {run.tone for run in desk.caption("queue")[0][1:]} == {Tone.DIM, Tone.RULE}
        await screen.press("/")
        await screen.type("embed")
        await screen.press("enter")
        await screen.shows("/ embed when the engine is back")
        assert not desk.is_typing


async def test_what_is_hidden_in_a_wide_terminal_is_told_in_the_header(tmp_path: Path) -> None:
    async with canned(tmp_path, (120, 30)) as screen:
        assert "6 notebooks  7 events" in screen.text().splitlines()[0]


async def test_a_pause_is_told_whole_in_a_small_terminal(tmp_path: Path) -> None:
    stats = {**answers()["GET /v1/queue"], "paused": True, "paused_by": "operator", "paused_reason": "maintenance"}
    async with canned(tmp_path, link=CannedLink({**answers(), "GET /v1/queue": stats})) as screen:
        await screen.shows("‖ paused by operator", "cpu 13/16")
    async with canned(tmp_path, (120, 30), link=CannedLink({**answers(), "GET /v1/queue": stats})) as screen:
        await screen.shows("‖ paused by operator: maintenance")


async def test_the_first_row_takes_the_place_of_the_message(tmp_path: Path) -> None:
    """To the terminal too: lines that were empty before and after had the message on them."""
    async with canned(tmp_path) as screen:
        await screen.press("/")
        await screen.type("no such thing")
        await screen.shows("Nothing matches the filter.")
        queue = screen.app.desk.queue
        drawn: list[object] = []
        queue.refresh = lambda *regions, **more: drawn.extend(regions)
        await screen.press("escape")
        await screen.until(lambda: screen.app.mirror.tasks.total > 1)
        assert queue.size.region in drawn
