"""The lines typed at the bottom: a filter that the engine reads, commands that complete themselves."""

from pathlib import Path

import pytest
from textual.events import Key
from textual.keys import _character_to_key

from console.link import Trouble
from console.screens.lines import complete_filter
from tests.console.canned import CannedLink, answers, task
from tests.console.screen import canned


def picky() -> CannedLink:
    table = answers()
    window = table["GET /v1/tasks"]

    def read(query: dict[str, object], body: object) -> object:
        if "bogus" in str(query.get("filter", "")):
            return Trouble(
                '"bogus" is no state. Allowed: blocked, queued, preparing, running, collecting, waiting, and '
                "more that do not fit into one line of a small terminal",
                status=422,
            )
        return window(query, body)

    return CannedLink({**table, "GET /v1/tasks": read})


async def test_the_filter_is_tried_while_it_is_typed_and_kept_with_enter(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("/")
        await screen.type("lr-00")
        await screen.shows("/ lr-00 9 match")
        await screen.press("enter")
        await screen.until(lambda: not screen.app.desk.is_typing)
        assert screen.app.desk.focused is screen.app.desk.queue
        await screen.press("backspace")
        await screen.hides("match")


async def test_escape_leaves_the_filter_as_it_was(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("/")
        await screen.type("embed")
        await screen.shows("1 match")
        await screen.press("escape")
        await screen.hides("match")
        assert screen.app.mirror.tasks.filter == ""


async def test_what_the_engine_can_not_read_is_said_beneath_in_its_words(tmp_path: Path) -> None:
    async with canned(tmp_path, link=picky()) as screen:
        await screen.press("/")
        await screen.type("state:bogus")
        await screen.press("enter")
        await screen.shows('"bogus" is no state', "fit into one line of a small")
        assert screen.app.desk.is_typing
        await screen.press("escape")
        await screen.shows("sweep-lr-003", "enter open")


async def test_letters_typed_into_a_line_do_nothing_else(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("/")
        await screen.type("xqn?:z1")
        await screen.until(lambda: screen.app.mirror.tasks.filter == "xqn?:z1")
        assert len(screen.app.screen_stack) == 1


@pytest.mark.parametrize("burst", [":theme paper\r", "/embed\r", "nls\r", "xy", "\x10copy id\r"])
async def test_keys_typed_in_one_burst_are_not_lost(tmp_path: Path, burst: str) -> None:
    """As over a slow link, where they come in one packet: none is lost, none does what it does elsewhere."""
    link = CannedLink(
        {**answers(), "DELETE /v1/tasks/7fk2q1ab": None, "POST /v1/tasks": task("new00001", "ls", "queued")}
    )
    async with canned(tmp_path, link=link) as screen:
        for character in burst:
            key = {"\r": "enter", "\x10": "ctrl+p", " ": "space"}.get(character, character)
            screen.app.post_message(Key(_character_to_key(key) if len(key) == 1 else key, character))
        match burst[0]:
            case ":":
                await screen.until(lambda: screen.app.theme == "paper")
            case "/":
                await screen.shows("/ embed 1 match")
            case "n":
                await screen.shows("ls is queued as new00001")
            case "x":
                await screen.shows("sweep-lr-003 is being cancelled")
            case _:
                await screen.shows("7fk2q1ab copied")
        assert screen.app.focused is screen.app.desk.queue


async def test_commands_complete_with_tab(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":", "t", "tab", "p", "a", "p", "tab", "enter")
        await screen.until(lambda: screen.app.theme == "paper")


async def test_a_command_that_is_none_keeps_the_line_open(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":")
        await screen.type("dance")
        await screen.press("enter")
        await screen.shows("'dance' is no command")
        await screen.press("escape")
        await screen.shows("enter open")


async def test_a_command_about_the_queue_works_from_any_pane(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("4", ":")
        await screen.type("filter embed")
        await screen.press("enter")
        await screen.shows("─ queue ─", "1 match")


async def test_the_last_lines_come_back_with_up(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":")
        await screen.type("jobs")
        await screen.press("enter")
        await screen.shows("No jobs yet.")
        await screen.press(":", "up")
        await screen.shows(": jobs")


async def test_panes_and_pages_are_reached_by_name(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("enter")
        await screen.shows("facts ─ sweep-lr-003")
        await screen.press(":")
        await screen.type("costs")
        await screen.press("enter")
        await screen.shows("Nothing spent.")


async def test_quit_leaves(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":")
        await screen.type("quit")
        await screen.press("enter")
        await screen.until(lambda: screen.app._exit)


@pytest.mark.parametrize(
    ("text", "completions"),
    [
        ("sta", ["state:", "status:"]),
        ("x !sta", ["!state:", "!status:"]),
        ("state:run", ["state:running"]),
        ("state:failed,ca", ["state:failed,cancelled"]),
        ("me", ["memory_gb:", "meta."]),
        ("name:sweep-", ["name:sweep-*"]),
        ("name:sweep-*", []),
        ("", []),
    ],
)
def test_a_filter_completes_fields_and_states(text: str, completions: list[str]) -> None:
    assert complete_filter(text) == completions


async def test_a_filter_that_was_refused_is_written_on_without_the_line_closing(tmp_path: Path) -> None:
    async with canned(tmp_path, link=picky()) as screen:
        await screen.press("/")
        await screen.type("state:bogus")
        await screen.shows("is no state")
        await screen.press("enter")
        await screen.press("ctrl+u")
        await screen.type("embed")
        await screen.shows("1 match")
        assert screen.app.desk.is_typing
        await screen.press("enter")
        await screen.shows("enter open", "/ embed 1 match")


async def test_a_command_says_why_it_can_not_be_done(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":")
        await screen.type("priority 4")
        await screen.press("enter")
        await screen.shows("set priority: only until it starts; sweep-lr-003 is running")


async def test_a_command_about_the_log_takes_the_log_in_hand(tmp_path: Path) -> None:
    async with canned(tmp_path, (120, 30)) as screen:
        await screen.press(":")
        await screen.type("follow")
        await screen.press("enter")
        await screen.shows("not following")
        assert screen.app.desk.focused is screen.app.desk.pane("log")


async def test_all_commands_are_offered_in_a_small_terminal(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press(":")
        await screen.shows("again", "zoom")
