"""What a person set for the console: the `[console]` table of `config.toml`, and the environment over it.

    [console]
    theme = "paper"      # a name from themes/, or of a file of yours in the config folder's themes/
    ascii = true         # no glyph beyond ASCII; default: as the locale says
    mouse = false        # default: on, off over SSH

    [console.keys]
    "task.cancel" = "X"  # an action's id (`?` shows them), and its keys: one, or several with commas

Read with the standard library alone: this runs before the first paint.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

DEFAULT_THEME = "shopfloor"
MONOCHROME = "monochrome"


class Fault(NamedTuple):
    """One thing that is wrong in a file of the config folder: where, and why."""

    file: Path
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = self.file.name if self.line is None else f"{self.file.name}:{self.line}"
        return f"{where}: {self.reason}"


class ConsoleSettings(NamedTuple):
    """What is in force. `ascii` and `mouse` are None where nobody chose; lines are those of the file."""

    theme: str = DEFAULT_THEME
    ascii: bool | None = None
    mouse: bool | None = None
    keys: Mapping[str, str] = {}
    key_lines: Mapping[str, int] = {}
    theme_line: int | None = None


def config_folder() -> Path:
    """Where `config.toml` and a person's own themes stand."""
    return Path(platformdirs.user_config_dir("shopfloor"))


def read_toml(file: Path) -> tuple[dict[str, Any], str, Fault | None]:
    """The tables of a file, its text, and what is wrong with it. A file that is not there is empty."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}, "", None
    except (OSError, UnicodeDecodeError) as error:
        return {}, "", Fault(file, None, f"cannot be read: {error}")
    try:
        return tomllib.loads(text), text, None
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(where[1]) if where else len(text.splitlines())
        return {}, text, Fault(file, line, re.sub(r" \(at .*\)", "", str(error)))


def line_of(text: str, table: str, key: str) -> int | None:
    """The line where `key` of `[table]` is set, counted from 1."""
    inside = table == ""
    wanted = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            inside = header[1].strip() == table
        elif inside and wanted.match(line):
            return number
    return None


def load_settings(
    folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[ConsoleSettings, list[Fault]]:
    """The settings, and what is wrong with them: each wrong value is named and its default used."""
    file = (folder or config_folder()) / "config.toml"
    tables, text, fault = read_toml(file)
    faults = [fault] if fault else []
    table = tables.get("console", {})
    if not isinstance(table, dict):
        return ConsoleSettings(), [*faults, Fault(file, line_of(text, "", "console"), "console: must be a table")]

    def say(key: str, reason: str, where: str = "console") -> None:
        faults.append(Fault(file, line_of(text, where, key), reason))

    chosen: dict[str, Any] = {}
    for key, value in table.items():
        if (key == "theme" and isinstance(value, str)) or (key in {"ascii", "mouse"} and isinstance(value, bool)):
            chosen[key] = value
        elif key == "keys" and isinstance(value, dict):
            continue
        elif key in {"theme", "ascii", "mouse", "keys"}:
            kind = {"theme": "a name in quotes", "keys": "a table"}.get(key, "true or false")
            say(key, f"{key} = {value!r}: must be {kind}")
        else:
            say(key, f"{key}: is not a setting of the console (theme, ascii, mouse, keys)")
    keys = _keys(table.get("keys"), say)
    lines = {action: line for action in keys if (line := line_of(text, "console.keys", action))}
    theme_line = line_of(text, "console", "theme") if "theme" in chosen else None
    if name := environment.get("SHOPFLOOR_CONSOLE__THEME"):
        chosen["theme"] = name
        theme_line = None
    for key in ("ascii", "mouse"):
        if word := environment.get(f"SHOPFLOOR_CONSOLE__{key.upper()}"):
            chosen[key] = word.lower() in {"1", "true", "yes", "on"}
    return ConsoleSettings(**chosen, keys=keys, key_lines=lines, theme_line=theme_line), faults


def _keys(table: object, say: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        return {}
    keys: dict[str, str] = {}
    for action, value in table.items():
        if isinstance(value, str):
            keys[action] = value
        elif isinstance(value, dict):  # task.cancel = "X" without quotes is a table in TOML
            keys |= _keys({f"{action}.{name}": inner for name, inner in value.items()}, say)
        else:
            say(action, f"{action} = {value!r}: must be a key in quotes", "console.keys")
    return keys
