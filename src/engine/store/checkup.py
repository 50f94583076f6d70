"""Looking at a database without opening it for work: nothing is written, migrated or locked for long."""

import sqlite3
from pathlib import Path

from engine.store.errors import StoreError
from engine.store.migrations import HEAD
from engine.store.sqlite import SqliteBackend


def library_version() -> tuple[int, ...]:
    """Of the SQLite that this Python brings."""
    return sqlite3.sqlite_version_info


def examine(path: Path, busy_timeout_s: float = 5.0) -> bool:
    """Whether the SQLite file at `path`, every page of it, is of this version; an older one is brought up at a start.

    Raises what `Database.open` raises for a file that it refuses: `NewerDatabase`, `DamagedDatabase`, `StoreError`.
    """
    backend = SqliteBackend(path, busy_timeout_s)
    try:
        return backend.inspect(thorough=True) in {None, HEAD}
    except sqlite3.Error as error:
        raise backend.explain(error) or StoreError(f"{path} can't be read: {error}") from error
