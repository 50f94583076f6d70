"""A scheduler on a real database, written as the engine writes it, with a clock and processes that the test moves."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

from engine.executors.base import AttemptKey
from engine.materials.artifacts import Artifact, Collected
from engine.materials.errors import MaterialError
from engine.materials.prepare import Prepared
from engine.protocol.states import LIVE
from engine.protocol.tasks import SubmitTask, TaskChange
from engine.scheduler.answers import answer
from engine.scheduler.attempt import Live
from engine.scheduler.capacity import Capacity, Machine
from engine.scheduler.loop import Scheduler
from engine.scheduler.refusals import Refused
from engine.scheduler.submission import NewTask
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.errors import DiskFull
from engine.store.rows import Event
from engine.store.writer import Done, Transaction, Work, Writer, _Job
from tests.unit.fake_executor import FakeExecutor, VirtualClock, World

T = TypeVar("T")


class SteppedWriter(Writer):
    """The real writer without its thread, so that a random life can be lived again step by step.

    What is handed in during one turn of the loop is one commit in the next, answered in the one after. It can lose
    what is handed in, as when the engine is killed, or fail to write it, as when the disk is full.
    """

    loses = False
    disk_full = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = self._database.writer()
        self._cursor = self._connection.cursor()
        # Nothing here is killed for real, so nothing has to reach the disk.
        self._cursor.execute("PRAGMA synchronous=OFF")
        self._batch: list[_Job] = []

    def submit(self, work: Work, done: Done) -> None:
        if not self.loses:
            self.look(self._refusing(work) if self.disk_full else work, done)

    def look(self, work: Work, done: Done) -> None:
        """As `submit`, whatever goes wrong for the engine."""
        if not self._batch:
            self._loop.call_soon(self._write)
        self._batch.append(_Job(work, done))

    def close(self) -> None:
        """What was handed in is written; nobody is told."""
        if self._batch:
            self._commit(self._batch)
            self._batch = []
        self._connection.close()

    def _write(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self._loop.call_soon(self._deliver, *self._commit(batch))

    @staticmethod
    def _refusing(work: Work) -> Work:
        def full(tx: Transaction) -> None:
            work(tx)
            raise DiskFull("the disk is full")

        return full


class FakeMaterials:
    """A task with a snapshot needs preparing. `ready` lets it finish; `trouble` is what it then raises."""

    def __init__(self, home: Home) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self.trouble: MaterialError | None = None
        self.prepared: list[AttemptKey] = []
        self.released: list[AttemptKey] = []
        self._home = home

    async def open(self, live: Collection[tuple[str, int]]) -> None: ...

    def needs_preparation(self, task: Live) -> bool:
        return task.snapshot_id is not None

    async def prepare(self, task: Live, attempt: int) -> Prepared:
        await self.ready.wait()
        if self.trouble is not None:
            raise self.trouble
        self.prepared.append(AttemptKey(task.id, attempt))
        return Prepared(self._home.attempt(task.id, attempt) / "work", list(task.command or ()), {"DATA": "/data"})

    async def collect(self, task_id: str, attempt: int) -> Collected:
        await self.ready.wait()
        if self.trouble is not None:
            raise self.trouble
        left = sorted((self._home.attempt(task_id, attempt) / "out").iterdir())
        return Collected(tuple(Artifact(path.name, path.stat().st_size, "0" * 64) for path in left))

    async def release(self, task_id: str, attempt: int) -> None:
        self.released.append(AttemptKey(task_id, attempt))


class Row(NamedTuple):
    """A task as the store has it."""

    id: str
    state: str
    attempt: int
    retry_count: int
    cpu: int
    memory_gb: int
    gpu: int
    gpu_ids: str
    error: str | None
    reason: str | None
    exit_code: int | None
    rank_key: float
    group_name: str | None


class Rig:
    """One home, and one engine on it after another. Everything is done when a method returns."""

    def __init__(self, folder: Path, *, cpu: int = 4, memory_gb: int = 16, gpus: tuple[int, ...] = (), **settings: Any):
        self.settings = Settings(home=folder, **settings)
        self.home = Home(folder)
        self.home.create()
        self.machine = Machine(cpu, memory_gb, gpus)
        self.clock = VirtualClock()
        self.world = World()
        self.free_mb = 1_000_000
        self.events: list[Event] = []
        self.clock_set = 0.0
        """By how much someone set the machine's clock forward."""
        self.scheduler_type = Scheduler
        self._ids = 0
        self.boot()

    def wall(self) -> float:
        """What the clock on the wall shows."""
        return self.clock() + self.clock_set

    def boot(self) -> None:
        """Start an engine on what is there."""
        self.loop = asyncio.new_event_loop()
        self.database = Database.open(f"sqlite:///{self.home.database}")
        self.writer = SteppedWriter(self.database, self.events.extend, self.wall)
        self.executor = FakeExecutor(self.world, self.wall)
        self.run(self._start())

    async def _start(self) -> None:
        self.materials = FakeMaterials(self.home)
        self.writer.start()
        self.scheduler = self.scheduler_type(
            self.writer,
            Capacity(self.machine),
            {"process": self.executor},
            self.materials,
            settings=self.settings,
            home=self.home,
            worker_id="bench",
            clock=self.wall,
            steady=self.clock,
            random=Random(7),
            call_later=self.clock.call_later,
            free_mb=lambda: self.free_mb,
        )
        await self.scheduler.start()

    def crash(self) -> None:
        """The engine is killed. What was handed to the writer is on disk, but the engine never heard so."""
        self.writer.close()
        self._gone()

    def stop(self, mode: Any = "leave") -> None:
        """The engine is told to stop."""
        self.run(self.scheduler.stop(mode))
        self.writer.close()
        self._gone()

    def _gone(self) -> None:
        self.loop.set_exception_handler(lambda loop, context: None)
        for task in asyncio.all_tasks(self.loop):
            task.get_coro().close()
        self.loop.close()
        self.database.close()
        self.clock.forget_timers()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def settle(self) -> None:
        """Until the engine has nothing left to do but wait."""
        self.run(self._settle())

    async def _settle(self) -> None:
        for _ in range(1000):
            await self._turn()
            if not self.scheduler.writing:
                return
        raise AssertionError("the scheduler does not come to rest")

    async def _turn(self) -> None:
        """All that was handed to the writer is on disk, and whoever waited for it has gone on."""
        future: asyncio.Future[None] = self.loop.create_future()
        self.writer.look(lambda tx: None, lambda result, error: future.set_result(None))
        await future
        for _ in range(5):
            await asyncio.sleep(0)

    def submit(self, count: int = 1, **fields: Any) -> list[str]:
        """Submit `count` tasks alike; their ids. Raises `Refused`."""
        fields = {"job_name": "train", "command": ["true"], **fields}
        ids = [self.new_id() for _ in range(count)]
        request = SubmitTask.model_validate(fields)
        tasks = [
            NewTask(
                task_id,
                self.scheduler.place(),
                self.wall(),
                request,
                request.command or ["python", "train.py"],
                request.snapshot_id,
                request.dataset_specs,
                "ann",
            )
            for task_id in ids
        ]
        self.run(self.scheduler.submit(tasks))
        self.settle()
        return ids

    def submit_one(self, **fields: Any) -> str:
        return self.submit(**fields)[0]

    def new_id(self) -> str:
        self._ids += 1
        return f"t{self._ids:05}"

    def cancel(self, *task_ids: str, by: str = "bob") -> dict[str, Refused | None]:
        results = self.run(self.scheduler.cancel(task_ids, by))
        self.settle()
        return results

    def retry(self, task_id: str, **change: Any) -> Refused | None:
        wanted = TaskChange.model_validate(change) if change else None
        results = self.run(self.scheduler.retry([task_id], wanted))
        self.settle()
        return results[task_id]

    def change(self, task_id: str, **change: Any) -> None:
        self.run(self.scheduler.change(task_id, TaskChange.model_validate(change)))
        self.settle()

    def end(self, task_id: str, exit_code: int | None = 0, **how: Any) -> None:
        """The task's process ends, and the engine hears of it."""
        self.executor.end(self.running()[task_id], None if how else exit_code, **how)
        self.deliver()

    def deliver(self) -> None:
        """The engine hears of all that happened, and of what follows from that."""
        while self.executor.outbox:
            self.run(self._deliver())
            self.settle()

    async def _deliver(self) -> None:
        self.executor.deliver()

    def advance(self, seconds: float) -> None:
        """Time goes by, and timers ring at their times."""
        until = self.clock.now + seconds
        while (due := self.clock.next_timer()) is not None and due <= until:
            self.clock.now = max(self.clock.now, due)
            self.run(self._ring())
            self.settle()
        self.clock.now = until

    async def _ring(self) -> None:
        self.clock.ring()

    def running(self) -> dict[str, AttemptKey]:
        """The processes that are there, by task."""
        return {key.task_id: key for key in self.world.running}

    def rows(self) -> dict[str, Row]:
        sql = f"SELECT {', '.join(Row._fields)} FROM tasks ORDER BY seq"
        return {row[0]: Row._make(row) for row in self.query(sql)}

    def row(self, task_id: str) -> Row:
        return self.rows()[task_id]

    def state(self, task_id: str) -> str:
        return self.row(task_id).state

    def query(self, sql: str) -> list[Any]:
        return self.run(self._query(sql))

    async def _query(self, sql: str) -> list[Any]:
        future: asyncio.Future[Any] = self.loop.create_future()

        def done(rows: Any, error: BaseException | None) -> None:
            if not future.done():
                future.set_result(rows)

        self.writer.look(lambda tx: tx.rows(sql), done)
        rows: list[Any] = await future
        return rows

    async def writer_executes(self, sql: str, task_id: str) -> None:
        """Change the store behind the engine's back."""
        future: asyncio.Future[None] = self.loop.create_future()
        self.writer.look(lambda tx: tx.execute(sql, {"id": task_id}), lambda _, error: answer(future, None, error))
        await future

    async def fetch(self, sql: str) -> Any:
        """The first value of the first row."""
        return (await self._query(sql))[0][0]

    def live(self) -> list[Row]:
        return [row for row in self.rows().values() if row.state in LIVE]


MakeRig = Callable[..., Rig]


async def next_write(rig: Rig) -> None:
    """One turn of the loop, in which what was created begins."""
    turn = rig.loop.create_future()
    rig.loop.call_soon(turn.set_result, None)
    await turn
