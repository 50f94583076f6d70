"""A person's own keys and settings: taken where they are right, named by file, line and reason where they are not."""

from pathlib import Path

import pytest

from console.keymap import RESERVED, key_name, make_keymap
from console.settings import ConsoleSettings, load_settings
from console.situation import Place
from tests.console.screen import canned

QUEUE = (Place.QUEUE, Place.LIST, Place.OVERVIEW, Place.ANYWHERE)


def config(folder: Path, text: str) -> Path:
    (folder / "config.toml").write_text(text)
    return folder


def test_the_nearest_place_decides_what_a_key_does() -> None:
    keymap = make_keymap()
    in_queue, in_log = keymap.find("n", QUEUE), keymap.find("n", (Place.LOG, Place.OVERVIEW, Place.ANYWHERE))
    assert in_queue is not None
    assert in_log is not None
    assert (in_queue.id, in_log.id) == ("task.submit", "log.next")


def test_own_keys_take_the_place_of_the_defaults() -> None:
    keymap = make_keymap({"task.cancel": "X, delete"})
    assert keymap.find("x", QUEUE) is None
    assert keymap.find("X", QUEUE) == keymap.find("delete", QUEUE) is not None
    assert not keymap.faults


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"task.destroy": "d"}, "there is no such action"),
        ({"task.cancel": "hyper+x"}, "is no key"),
        ({"task.cancel": "r"}, "'r' is task.retry already"),
    ],
)
def test_a_wrong_key_is_named_and_its_default_kept(own: dict[str, str], says: str) -> None:
    keymap = make_keymap(own)
    assert says in next(iter(keymap.faults.values()))
    found = keymap.find("x", QUEUE)
    assert found is not None
    assert found.id == "task.cancel"


def test_two_actions_may_swap_their_keys() -> None:
    keymap = make_keymap({"task.cancel": "r", "task.retry": "x"})
    assert not keymap.faults


def test_a_person_may_take_a_key_that_we_leave_alone() -> None:
    assert "ctrl+a" in RESERVED
    assert not make_keymap({"mark.all": "ctrl+a"}).faults


def test_a_key_is_written_as_it_is_typed() -> None:
    assert key_name("question_mark", "?") == "?"
    assert key_name("space", " ") == "space"
    assert key_name("ctrl+p", "\x10") == "ctrl+p"


def test_settings_are_read(tmp_path: Path) -> None:
    folder = config(tmp_path, '[console]\ntheme = "paper"\nascii = true\n[console.keys]\n"task.cancel" = "X"\n')
    settings, faults = load_settings(folder, {})
    assert settings == ConsoleSettings("paper", True, None, {"task.cancel": "X"}, {"task.cancel": 5}, 2)
    assert not faults


def test_dotted_keys_need_no_quotes(tmp_path: Path) -> None:
    settings, faults = load_settings(config(tmp_path, '[console.keys]\ntask.cancel = "X"\n'), {})
    assert settings.keys == {"task.cancel": "X"}
    assert not faults


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}) == (ConsoleSettings(), [])


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    folder = config(tmp_path, '[console]\ntheme = "paper"\n')
    settings, _ = load_settings(folder, {"SHOPFLOOR_CONSOLE__THEME": "ember", "SHOPFLOOR_CONSOLE__MOUSE": "off"})
    assert (settings.theme, settings.mouse) == ("ember", False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[console]\ntheme = "paper\n', "config.toml:2: Illegal character"),
        ("[console]\n\ntheme = 3\n", "config.toml:3: theme = 3: must be a name in quotes"),
        ('[console]\nascii = "yes"\n', "config.toml:2: ascii = 'yes': must be true or false"),
        ("[console]\nfont = 1\n", "config.toml:2: font: is not a setting"),
        ("[console.keys]\n'go.back' = 1\n", "config.toml:2: go.back = 1: must be a key in quotes"),
        ("port = 1\nconsole = 2\n", "config.toml:2: console: must be a table"),
    ],
)
def test_a_fault_names_file_line_and_reason(tmp_path: Path, text: str, says: str) -> None:
    _, faults = load_settings(config(tmp_path, text), {})
    assert str(faults[0]).startswith(says)


async def test_the_console_opens_with_faults_and_says_so_once(tmp_path: Path) -> None:
    config(tmp_path, '[console]\ntheme = "no-such"\n[console.keys]\n"task.cancel" = "r"\n')
    async with canned(tmp_path) as screen:
        await screen.shows("config.toml:4: task.cancel = 'r': 'r' is task.retry already", "1 more")
        await screen.press(":")
        await screen.type("faults")
        await screen.press("enter")
        await screen.shows("there is no theme 'no-such'")


@pytest.mark.parametrize(
    ("own", "wrong"),
    [
        ({"task.cancel": "j"}, {"task.cancel"}),  # the queue stands before the list: it would cancel instead of moving
        ({"log.follow": "z"}, {"log.follow"}),
        ({"app.quit": "x"}, {"app.quit"}),
        ({"task.cancel": "r", "task.retry": "x"}, set()),
        ({"task.cancel": "j", "task.retry": "x"}, {"task.cancel", "task.retry"}),
        ({"log.follow": "s"}, set()),  # a log is never in hand together with the queue
    ],
)
def test_no_own_key_takes_another_one_s_place(own: dict[str, str], wrong: set[str]) -> None:
    keymap = make_keymap(own)
    assert set(keymap.faults) == wrong
    chain = (Place.QUEUE, Place.LIST, Place.OVERVIEW, Place.ANYWHERE)
    found = keymap.find("j", chain)
    assert found is not None
    assert found.id == "move.down"
