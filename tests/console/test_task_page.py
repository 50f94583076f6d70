"""A task's page: all that is known of one task, and its log."""

import time
from pathlib import Path

from console.screens.task import TaskPage
from tests.console.canned import LONG_AGO, CannedLink, answers, at, task
from tests.console.screen import Screen, canned


def page_of(screen: Screen) -> TaskPage:
    desk = screen.app.desk
    assert isinstance(desk, TaskPage)
    return desk


async def test_the_page_shows_facts_use_attempts_artifacts_and_log(tmp_path: Path) -> None:
    async with canned(tmp_path, (200, 50)) as screen:
        await screen.press("enter")
        await screen.shows(
            "facts ─ sweep-lr-003 · 7fk2q1ab",
            "▶ running",
            "python train.py --lr 3e-4",
            "cpu 2  mem 8G  gpu 1 (0)",
            "1.9 cores  6.4 GB  5 processes",
            "attempts ─ 1",
            "checkpoints/step-400.safetensors",
            "step   413",
        )


async def test_what_it_uses_is_read_only_while_it_is_in_front(tmp_path: Path) -> None:
    async with canned(tmp_path, (200, 50)) as screen:
        await screen.press("enter")
        await screen.shows("6.4 GB")
        looking = page_of(screen)._looking
        assert looking is not None
        assert looking._active.is_set()
        await screen.press("?")
        await screen.until(lambda: not looking._active.is_set())
        await screen.press("escape")
        await screen.until(looking._active.is_set)
        await screen.press("escape")
        await screen.shows("1 queue")


async def test_an_ended_task_is_not_looked_at(tmp_path: Path) -> None:
    async with canned(tmp_path, (200, 50)) as screen:
        await screen.press("G", "enter")
        await screen.shows("facts ─ report", "↷ skipped", "pack-dataset failed")
        looking = page_of(screen)._looking
        assert looking is not None
        assert not looking._active.is_set()


async def test_at_80x24_the_panes_are_tabs(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("enter")
        await screen.shows("1 facts  2 log  3 attempts 1", "step   413")
        await screen.press("5")
        await screen.shows("1.2 GB  checkpoints/step-400.safetensors")
        await screen.press("4")
        await screen.press("q")
        await screen.shows("1 queue 13")


async def test_the_log_is_searched(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("l", "g", "/")
        await screen.type("step   390")
        await screen.press("enter")
        await screen.shows("/ step   390")
        await screen.press("/")
        await screen.press(*["backspace"] * 12)
        await screen.type("no such")
        await screen.press("enter")
        await screen.shows("no further no such")


async def test_another_attempts_log_is_shown_by_key(tmp_path: Path) -> None:
    table = answers()
    path = "GET /v1/tasks/6zz10d5n"
    table[f"{path}/attempts"] = [
        {"task_id": "6zz10d5n", "number": number, "outcome": "failed", "exit_code": 137, "claimed_at": at(LONG_AGO)}
        for number in (1, 2)
    ]
    table[f"{path}/logs"] = lambda query, _: {
        "task_id": "6zz10d5n",
        "attempt": query.get("attempt", 2),
        "offset": 0,
        "next_offset": 6,
        "size": 6,
        "text": f"try {query.get('attempt', 2)}\n",
        "ended": True,
    }
    table["GET /v1/tasks"] = {"tasks": [task("6zz10d5n", "pack", "failed", attempt=2)], "total": 1, "seq": 1}
    async with canned(tmp_path, (200, 50), link=CannedLink(table)) as screen:
        await screen.press("enter")
        await screen.shows("attempts ─ 2", "try 2", "▸ 2")
        await screen.press("[")
        await screen.shows("try 1", "▸ 1")
        await screen.press("]")
        await screen.shows("try 2", "▸ 2")


async def test_a_task_is_opened_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    table = answers()
    window = table["GET /v1/tasks"]

    def by_id(query: dict[str, object], body: object) -> object:
        if str(query.get("filter", "")).startswith("id:"):
            found = [
                one for one in window({"limit": 99}, None)["tasks"] if one["id"].startswith(str(query["filter"])[3:])
            ]
            return {"tasks": found[:2], "total": len(found), "seq": 1}
        return window(query, body)

    table["GET /v1/tasks"] = by_id
    async with canned(tmp_path, link=CannedLink(table)) as screen:
        await screen.press(":")
        await screen.type("open 9ab04")
        await screen.press("enter")
        await screen.shows("facts ─ embed-corpus")
        await screen.press("escape", ":")
        await screen.type("open 9ab")
        await screen.press("enter")
        await screen.shows("open: 2 tasks with an id that begins with 9ab")


async def test_a_long_command_is_told_whole(tmp_path: Path) -> None:
    words = ["python", "train.py", *(f"--option-{number}={number}" for number in range(12)), "--last"]
    link = CannedLink(answers())
    whole = {**link.answers["GET /v1/tasks/7fk2q1ab"], "command": words}
    link.answers["GET /v1/tasks/7fk2q1ab"] = whole
    async with canned(tmp_path, link=link) as screen:
        await screen.press("enter")
        await screen.shows("--option-0=0", "--last")


async def test_facts_turn_grey_while_the_engine_is_gone(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("enter")
        await screen.shows("running  for")
        pane = page_of(screen).pane("facts")

        def tones() -> set[str]:
            return {str(segment.style) for segment in pane.render_line(0) if segment.text.strip()}

        before = tones()
        assert len(before) > 1
        screen.link.turn("lost", time.time() - 12)
        await screen.until(lambda: len(tones()) == 1)
        screen.link.turn("live", time.time())
        await screen.until(lambda: tones() == before)
