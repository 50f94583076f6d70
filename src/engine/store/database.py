"""Opening the database. All that differs between one database product and another stands behind `Backend`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from engine.store.errors import (
    Conflict,
    DamagedDatabase,
    DiskFull,
    LockedDatabase,
    NewerDatabase,
    StoreError,
)

__all__ = [
    "Backend",
    "Conflict",
    "Connection",
    "Cursor",
    "DamagedDatabase",
    "Database",
    "DiskFull",
    "LockedDatabase",
    "NewerDatabase",
    "StoreError",
]


class Cursor(Protocol):
    """The part of a DBAPI cursor that the store uses; SQL takes its values as `:name`."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Mapping[str, object] = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Sequence[Mapping[str, object]], /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A DBAPI connection that is in no transaction unless it was told to begin one."""

    def cursor(self) -> Cursor: ...
    def close(self) -> None: ...


class Backend(Protocol):
    """A database product. The rest of the store speaks SQL that every backend takes."""

    name: str
    driver_error: type[Exception]
    begin_write: str
    newest_event: str
    command_text: str
    """SQL that reads a task's `command` (a JSON list) as one line of text."""

    def prepare(self) -> None:
        """Check what is there, create or migrate it. Raises a `StoreError` and changes nothing if it is not sound."""

    def writer(self) -> Connection:
        """A connection that writes: a commit is on disk when it returns."""

    def reader(self) -> Connection:
        """A connection that only reads, with the functions that filters use."""

    def explain(self, error: Exception) -> StoreError | None:
        """The driver's error in words; None when the statement itself is wrong, which is a fault of ours."""

    def interrupt(self, connection: Connection) -> None:
        """End the statement that runs on it, from another thread: it fails with a `StoreError`."""

    def in_transaction(self, connection: Connection) -> bool:
        """Whether a transaction is still open: some errors end it on their own."""


class Database:
    """An open database: sound, of this version, ready to be read and written."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.dialect = backend.name
        self._readers: list[Connection] = []
        self._writers: list[Connection] = []

    @classmethod
    def open(cls, url: str, busy_timeout_s: float = 5.0) -> "Database":
        """Open `sqlite:////path/shopfloor.db`, creating or migrating it.

        Raises `NewerDatabase`, `DamagedDatabase` or `LockedDatabase`, and then the file is as it was.
        """
        scheme, separator, path = url.partition(":///")
        if not separator or scheme != "sqlite":
            kind = url.partition(":")[0]  # what follows may hold a password
            raise StoreError(f"The database URL {kind}:... is not supported. Allowed: sqlite:////path/to/shopfloor.db")
        from engine.store.sqlite import SqliteBackend

        backend = SqliteBackend(Path(unquote(path)), busy_timeout_s)
        backend.prepare()
        return cls(backend)

    def writer(self) -> Connection:
        connection = self.backend.writer()
        self._writers.append(connection)
        return connection

    def reader(self) -> Connection:
        connection = self.backend.reader()
        self._readers.append(connection)
        return connection

    def interrupt_readers(self) -> None:
        """End what is being read now."""
        for connection in self._readers:
            self.backend.interrupt(connection)

    def close(self) -> None:
        """Close every connection, the writing one last: it tidies up what only a writer may."""
        for connection in (*self._readers, *self._writers):
            connection.close()
        self._readers.clear()
        self._writers.clear()
