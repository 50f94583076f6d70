"""One thread writes. Many works share one transaction, and so one flush to the disk (group commit)."""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from engine.store.database import Connection, Cursor, Database
from engine.store.errors import StoreError
from engine.store.rows import Event

T = TypeVar("T")
Work = Callable[["Transaction"], Any]
Done = Callable[[Any, BaseException | None], None]
Publish = Callable[[list[Event]], None]

_BATCH = 512
_NOTHING: Mapping[str, object] = {}
_INSERT_EVENT = "INSERT INTO events (seq, at, kind, subject, data) VALUES (:seq, :at, :kind, :subject, :data)"

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    work: Work
    done: Done


class _Outcome(NamedTuple):
    done: Done
    result: Any
    error: BaseException | None


class Transaction:
    """What a work writes through. Valid until the work returns; `now` is the one time of all it writes."""

    __slots__ = ("_begun", "_cursor", "_database", "_events", "_nested", "failed", "now")

    def __init__(self, database: Database, cursor: Cursor, now: float, nested: bool) -> None:
        self.now = now
        self.failed: StoreError | None = None
        self._database = database
        self._cursor = cursor
        self._nested = nested
        self._begun = False
        self._events: list[tuple[str, str, Mapping[str, object]]] = []

    def execute(self, sql: str, params: Mapping[str, object] = _NOTHING) -> int:
        """Run one statement; the number of rows that it changed. Raises `Conflict` where a table's rule is broken."""
        try:
            if not self._begun:
                self._begin()
            self._cursor.execute(sql, params)
        except self._database.backend.driver_error as error:
            raise self._explained(error) from error
        return self._cursor.rowcount

    def executemany(self, sql: str, params: Sequence[Mapping[str, object]]) -> int:
        """Run one statement for each of `params`; the number of rows changed in all."""
        try:
            if not self._begun:
                self._begin()
            self._cursor.executemany(sql, params)
        except self._database.backend.driver_error as error:
            raise self._explained(error) from error
        return self._cursor.rowcount

    def rows(self, sql: str, params: Mapping[str, object] = _NOTHING) -> list[Any]:
        """All rows of a query (or of a statement with RETURNING), as tuples."""
        try:
            if not self._begun:
                self._begin()
            self._cursor.execute(sql, params)
            return self._cursor.fetchall()
        except self._database.backend.driver_error as error:
            raise self._explained(error) from error

    def event(self, kind: str, subject: str, data: Mapping[str, object]) -> None:
        """Say what this work made true: a row of the same transaction, published once that is on disk.

        `data` must be plain JSON values and must not be changed afterwards.
        """
        self._events.append((kind, subject, data))

    def apart(self, work: Callable[[], T]) -> T:
        """Do a part of the work by itself: what it raises takes back that part alone, its events too."""
        if not self._begun:
            self._begin()
        told = len(self._events)
        self._cursor.execute("SAVEPOINT part")
        try:
            result = work()
        except BaseException:
            if self.failed is None:
                del self._events[told:]
                self._cursor.execute("ROLLBACK TO part")
                self._cursor.execute("RELEASE part")
            raise
        self._cursor.execute("RELEASE part")
        return result

    def finish(self, newest: int) -> list[Event]:
        """Write the work's events, numbered on from `newest`. Raises what made the whole transaction fail."""
        if self.failed is not None:
            raise self.failed
        if not self._events:
            return []
        now = self.now
        events = [Event(newest + n, now, *event) for n, event in enumerate(self._events, 1)]
        self.executemany(
            _INSERT_EVENT,
            [
                {"seq": e.seq, "at": e.at, "kind": e.kind, "subject": e.subject, "data": to_json(e.data).decode()}
                for e in events
            ],
        )
        return events

    def undo(self) -> None:
        """Take back what this work wrote, and nothing else of its transaction."""
        if self._nested and self._begun:
            self._cursor.execute("ROLLBACK TO work")
            self._cursor.execute("RELEASE work")

    def keep(self) -> None:
        if self._nested and self._begun:
            self._cursor.execute("RELEASE work")

    def _begin(self) -> None:
        self._begun = True
        if self._nested:
            self._cursor.execute("SAVEPOINT work")

    def _explained(self, error: Exception) -> Exception:
        explained = self._database.backend.explain(error)
        if explained is None:
            return error
        if explained.fatal:
            self.failed = explained
        return explained


class Writer:
    """The only one that writes to the database.

    `publish` is called on the loop with the events of each commit, before the callers of that commit are answered.
    """

    def __init__(self, database: Database, publish: Publish, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._publish = publish
        self._clock = clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._door = threading.Lock()
        self._closing = False
        self._loop: asyncio.AbstractEventLoop
        self._connection: Connection
        self._cursor: Cursor

    def start(self) -> None:
        """Begin to write; results and events are delivered to the loop that is running now."""
        self._loop = asyncio.get_running_loop()
        self._connection = self._database.writer()
        self._cursor = self._connection.cursor()
        self._thread.start()

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` on the writer's thread; its result, once its commit is on disk.

        What `work` raises takes back what it wrote and is raised here. When the commit itself fails (disk full,
        database locked), every work in it is gone and each caller gets the `StoreError`. Work that was handed in
        is done even if the caller stops waiting.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self.submit(work, functools.partial(_settle, future))
        return await future

    def submit(self, work: Callable[[Transaction], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Like `run`, with a callback: `done(result, None)` or `done(None, error)` on the loop, in commit order."""
        with self._door:
            if self._closing:
                raise StoreError("The engine is stopping and takes no further changes.")
            self._jobs.put(_Job(work, done))

    def close(self) -> None:
        """Finish what was handed in, then stop. Its results still reach the loop."""
        with self._door:
            if not self._closing:
                self._closing = True
                self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            batch, last = self._take()
            if batch:
                outcomes, events = self._commit(batch)
                try:
                    self._loop.call_soon_threadsafe(self._deliver, outcomes, events)
                except RuntimeError:
                    log.warning("the event loop ended before %d written changes were answered", len(outcomes))
            if last:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job, then take all that stand behind it. True when the last one was among them."""
        job = self._jobs.get()
        batch: list[_Job] = []
        waiting = min(self._jobs.qsize(), _BATCH)
        while True:
            if job is None:
                return batch, True
            batch.append(job)
            if not waiting:
                return batch, False
            waiting -= 1
            job = self._jobs.get()

    def _commit(self, batch: list[_Job]) -> tuple[list[_Outcome], list[Event]]:
        outcomes: list[_Outcome] = []
        events: list[Event] = []
        try:
            newest = self._begin()
            empty = True
            for job in batch:
                transaction = Transaction(self._database, self._cursor, self._clock(), nested=not empty)
                try:
                    result = job.work(transaction)
                    written = transaction.finish(newest)
                except BaseException as error:
                    if transaction.failed is not None:
                        raise transaction.failed from error
                    if empty:
                        self._cursor.execute("ROLLBACK")
                        newest = self._begin()
                    else:
                        transaction.undo()
                    outcomes.append(_Outcome(job.done, None, error))
                    continue
                transaction.keep()
                empty = False
                newest += len(written)
                events += written
                outcomes.append(_Outcome(job.done, result, None))
            self._cursor.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            return self._failed(batch, outcomes, self._reason(error)), []
        return outcomes, events

    def _begin(self) -> int:
        """Open the transaction; the newest event's number in it."""
        self._cursor.execute(self._database.backend.begin_write)
        self._cursor.execute(self._database.backend.newest_event)
        return int(self._cursor.fetchall()[0][0])

    def _failed(self, batch: list[_Job], outcomes: list[_Outcome], error: StoreError) -> list[_Outcome]:
        """Everything of the batch is gone: each caller hears why, unless its own work had failed before."""
        log.error("%d changes were not written: %s", len(batch), error)
        with suppress(self._database.backend.driver_error):
            if self._database.backend.in_transaction(self._connection):
                self._cursor.execute("ROLLBACK")
        answers = [outcome if outcome.error is not None else None for outcome in outcomes]
        answers += [None] * (len(batch) - len(answers))
        return [
            answer or _Outcome(job.done, None, type(error)(*error.args))
            for job, answer in zip(batch, answers, strict=True)
        ]

    def _reason(self, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        explained = self._database.backend.explain(error) or StoreError(f"The database refused the change: {error}")
        explained.__cause__ = error
        return explained

    def _deliver(self, outcomes: list[_Outcome], events: list[Event]) -> None:
        if events:
            self._call(self._publish, events)
        for done, result, error in outcomes:
            self._call(done, result, error)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as failure:  # noqa: BLE001 - one caller's fault is not the others'
            self._loop.call_exception_handler({"message": "a writer's callback failed", "exception": failure})


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
