"""Regular expressions on reading connections. RE2 matches in linear time, whatever a person types."""

import functools
import sqlite3

import re2

_QUIET = re2.Options()
_QUIET.log_errors = False


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> "re2._Regexp[str]":
    return re2.compile(pattern, _QUIET)


def check_regex(pattern: str) -> str | None:
    """Why a pattern can't be used; None when it can."""
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else "it is not valid"
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return None


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and _compiled(pattern).search(text) is not None


def register_functions(connection: sqlite3.Connection) -> None:
    """`regexp(pattern, text)`, which SQLite also calls for `text REGEXP pattern`."""
    connection.create_function("regexp", 2, _matches, deterministic=True)
