"""What the README says is so."""

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from console.keymap import make_keymap
from console.settings import load_settings
from console.themes import load_theme
from console.verbs.app import shopfloor
from tests.settings_table import README, with_table


def test_every_setting_stands_in_the_table() -> None:
    assert README.read_text() == with_table(README.read_text()), "run `python -m tests.settings_table`"


def test_every_file_linked_is_there() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert [name for name in linked if not (README.parent / name).is_file()] == []


def test_every_verb_is_shown_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(README.parent)
    shown = [line for line in _shell_lines() if line.startswith("shopfloor ")]
    assert shown
    for line in shown:
        words = shlex.split(line, comments=True)[1:]
        command: click.Command | None = shopfloor
        context = click.Context(shopfloor)
        while words and isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None, line
        command.make_context("shopfloor", words)  # raises what it would say to a person


def test_every_script_shown_is_there() -> None:
    shown = [line.split("-m ")[1].split()[0] for line in _shell_lines() if "python -m tests." in line]
    assert shown
    assert [name for name in shown if find_spec(name) is None] == []


def test_the_files_shown_are_taken_as_they_stand(tmp_path: Path) -> None:
    entry, config, theme = _blocks("toml")
    assert tomllib.loads(entry).keys() == {"entry"}
    (tmp_path / "config.toml").write_text(config)
    settings, faults = load_settings(tmp_path, {})
    assert faults == []
    assert not make_keymap(settings.keys).faults
    (tmp_path / "mine.toml").write_text(theme)
    assert load_theme(tmp_path / "mine.toml").textual.name == "mine"


def _shell_lines() -> list[str]:
    return [line.strip() for block in _blocks("sh") for line in block.splitlines()]


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
