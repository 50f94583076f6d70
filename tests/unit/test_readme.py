"""What the README says is so."""

import re
import shlex

import click

from console.verbs.app import shopfloor
from tests.settings_table import README, with_table


def test_every_setting_stands_in_the_table() -> None:
    assert README.read_text() == with_table(README.read_text()), "run `python -m tests.settings_table`"


def test_every_file_linked_is_there() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert [name for name in linked if not (README.parent / name).is_file()] == []


def test_every_verb_shown_exists() -> None:
    shown = [line for line in _shell_lines() if line.startswith("shopfloor ")]
    assert shown
    for line in shown:
        words = shlex.split(line, comments=True)[1:]
        command: click.Command | None = shopfloor
        context = click.Context(shopfloor)
        while words and isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None, line
        if command.name != "engine":
            known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
            given = (
                [word.partition("=")[0] for word in words[: words.index("--")] if word.startswith("-")]
                if ("--" in words)
                else [word for word in words if word.startswith("-")]
            )
            assert set(given) <= known, line


def _shell_lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]
