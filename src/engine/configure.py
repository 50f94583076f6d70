"""Settings with errors that a person can act on: where the value stands, what it is, what is allowed."""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError as SourceError

from engine.settings import Settings, config_file

CONSOLE = "console"
"""The table of the settings file that the console reads."""


class BadSettings(Exception):
    """A setting can't be used. One line for each that is wrong."""


def load_settings(flags: Mapping[str, Any]) -> Settings:
    """Flags over the environment over the settings file; a flag that is None was not given. Raises BadSettings."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise BadSettings("\n".join(_line(found, given) for found in error.errors())) from None
    except UnicodeDecodeError as error:
        raise BadSettings(f"{config_file()}: this is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{config_file()}: this is not TOML: {error}") from None
    except OSError as error:
        raise BadSettings(f"{config_file()}: can't be read: {error.strerror}") from None
    except SourceError as error:
        raise BadSettings(_unreadable(error)) from None
    if unknown := _unknown():
        raise BadSettings("\n".join(unknown))
    if settings.open and not _is_loopback(settings.host):
        raise BadSettings(f"{_source(['open'], given)}: only on a loopback address; host is {settings.host}")
    home = settings.home.expanduser().absolute()
    return settings if home == settings.home else settings.model_copy(update={"home": home})


def _unknown() -> list[str]:
    """A line for each key of the settings file that nothing reads: a slip that would else go unnoticed."""
    file = config_file()
    if not file.exists():
        return []
    known = [*Settings.model_fields, CONSOLE]
    lines = []
    for name in tomllib.loads(file.read_text("utf-8")):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.7)
            lines.append(f"{file}: {name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _line(error: Mapping[str, Any], flags: Mapping[str, Any]) -> str:
    where = [str(part) for part in error["loc"]]
    message = str(error["msg"])
    if error["type"] == "extra_forbidden":
        return f"{_source(where, flags)}: there is no such setting"
    return f"{_source(where, flags)} is {error['input']!r}: {message[:1].lower()}{message[1:]}"


def _source(where: list[str], flags: Mapping[str, Any]) -> str:
    if where and where[0] in flags:
        return "--" + where[0].replace("_", "-")
    for depth in range(len(where), 0, -1):
        variable = "SHOPFLOOR_" + "__".join(where[:depth]).upper()
        if any(name.upper() == variable for name in os.environ):
            return variable
    return f"{config_file()}: {'.'.join(where)}"


def _unreadable(error: SourceError) -> str:
    """A value that should be JSON (a list, a table) and is not."""
    named = str(error).partition('"')[2].partition('"')[0]
    variable = f"SHOPFLOOR_{named.upper()}"
    shown = os.environ.get(variable)
    return f"{variable} is {shown!r}: a list is written as JSON, such as [0,1]" if shown is not None else str(error)
