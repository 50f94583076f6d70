"""SQL functions of reading connections: regular expressions in linear time (RE2)."""

import functools
import sqlite3

import re2


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> "re2._Regexp[str]":
    return re2.compile(pattern)


def _matches(pattern: str, text: str | None) -> bool:
    return text is not None and _compiled(pattern).search(text) is not None


def register_functions(connection: sqlite3.Connection) -> None:
    """`regexp(pattern, text)`, which SQLite also calls for `text REGEXP pattern`."""
    connection.create_function("regexp", 2, _matches, deterministic=True)
