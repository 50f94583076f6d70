"""Reading beside the writer: a few threads, each with a connection of its own, each look at one moment."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from engine.store.database import Connection, Database
from engine.store.errors import StoreError

T = TypeVar("T")

_THREADS = 3
_NOTHING: Mapping[str, object] = {}


class Snapshot:
    """The database as it stood at one moment, however many statements the look at it takes."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.backend = database.backend
        self._cursor = connection.cursor()

    def rows(self, sql: str, params: Mapping[str, object] = _NOTHING) -> list[Any]:
        self._cursor.execute(sql, params)
        return self._cursor.fetchall()

    def one(self, sql: str, params: Mapping[str, object] = _NOTHING) -> Any:
        """The first row of a query that always has one."""
        return self.rows(sql, params)[0]

    def newest_event(self) -> int:
        """The last event whose change is part of this moment."""
        return int(self.one(self.backend.newest_event)[0])


class Readers:
    """The threads that read. More looks at a time than there are threads wait for their turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-reader")
        self._own = threading.local()
        self._closed = False

    async def look(self, what: Callable[[Snapshot], T]) -> T:
        """Call `what` on a reading thread, with a snapshot that is valid inside it only. Raises `StoreError`."""
        if self._closed:
            raise StoreError("The engine is stopping and reads no further.")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._look, what)

    def close(self) -> None:
        """Cut short the looks that run, then stop."""
        self._closed = True
        self._database.interrupt_readers()
        self._pool.shutdown(cancel_futures=True)

    def _look(self, what: Callable[[Snapshot], T]) -> T:
        backend = self._database.backend
        try:
            connection = self._connection()
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            try:
                return what(Snapshot(self._database, connection))
            finally:
                if backend.in_transaction(connection):
                    cursor.execute("ROLLBACK")
        except backend.driver_error as error:
            explained = backend.explain(error)
            if explained is None:
                raise
            raise explained from error

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._database.reader()
        return connection


class Part:
    """One part of what can be read: its methods look through `_look`."""

    def __init__(self, readers: Readers) -> None:
        self._look = readers.look
