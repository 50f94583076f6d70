"""The console on a real engine: what a person does comes to be, and an engine that goes comes back."""

import re
from pathlib import Path

from tests.console.screen import on_engine
from tests.engine_process import EngineProcess


async def test_submit_watch_cancel_and_retry(engine: EngineProcess, tmp_path: Path) -> None:
    async with on_engine(engine.home, tmp_path) as screen:
        await screen.shows("The queue is empty.")
        await screen.press("n")
        await screen.type("sh -c 'echo first line; sleep 60'")
        await screen.press("tab")
        await screen.type("napper")
        await screen.press("enter")
        await screen.shows("napper is queued as", "▶ running", "first line")
        await screen.press("enter")
        await screen.shows("facts ─ napper", " processes", "asks      cpu 1")
        await screen.press("x", "y")
        await screen.shows("⊘ cancelled")
        await screen.press("r")
        await screen.shows("retry napper?")
        await screen.press("y")
        await screen.shows("▶ running", "3 attempts 2")
        await screen.press("escape")
        await screen.shows("─ queue ─ running 1")


async def test_what_the_engine_refuses_is_said_at_the_field(engine: EngineProcess, tmp_path: Path) -> None:
    async with on_engine(engine.home, tmp_path) as screen:
        await screen.press("n")
        await screen.type("true")
        await screen.press("tab", "tab")
        await screen.type("eleven")
        await screen.press("enter")
        await screen.until(lambda: screen.app.focused is not None and screen.app.focused.id == "priority")
        await screen.press(*["backspace"] * 6, "tab", "tab", "tab")
        await screen.type("99")
        await screen.press("enter")
        await screen.until(lambda: screen.app.focused is not None and screen.app.focused.id == "gpu", "the gpu field")


async def test_the_engines_filter_and_its_words(engine: EngineProcess, tmp_path: Path) -> None:
    with engine.client() as client:
        for name in ("sweep-1", "sweep-2", "other"):
            client.post("/v1/tasks", {"job_name": name, "command": ["true"]})
    async with on_engine(engine.home, tmp_path) as screen:
        await screen.shows("✔ completed")
        await screen.press("/")
        await screen.type("sweep")
        await screen.shows("2 match")
        await screen.press("enter", "/")
        await screen.type(" state:nonsense")
        await screen.press("enter")
        await screen.shows('"nonsense"', "Allowed: ")
        await screen.press("escape")
        await screen.shows("2 match")
        await screen.press("*", "r")
        await screen.shows("retry 2 tasks?", "2 tasks of these completed, and would run once more.")


async def test_pause_and_resume(engine: EngineProcess, tmp_path: Path) -> None:
    async with on_engine(engine.home, tmp_path) as screen:
        await screen.press(":")
        await screen.type("pause for lunch")
        await screen.press("enter")
        await screen.shows("pause the queue?")
        await screen.press("y")
        await screen.shows("‖ paused by")
        await screen.press("P")
        await screen.hides("‖ paused by")


async def test_an_engine_that_is_killed_comes_back_where_it_was(engine: EngineProcess, tmp_path: Path) -> None:
    with engine.client() as client:
        client.post("/v1/tasks", {"job_name": "survivor", "command": ["sleep", "60"]})
    async with on_engine(engine.home, tmp_path) as screen:
        await screen.shows("survivor", "▶ running")
        engine.kill()
        text = await screen.shows("engine gone since", "trying again")
        assert re.search(r"survivor +▶ running", text)
        engine.start()
        await screen.shows("● live", "survivor", "▶ running")
