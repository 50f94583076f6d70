"""What an operator is answered: on the real store with its thread, with processes that are entries in a dictionary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.control.errors import Problem
from engine.control.queue import Queue
from engine.control.tasks import Tasks, _in_turns
from engine.executors.base import AttemptKey
from engine.materials.prepare import Materials
from engine.protocol.states import ErrorCode, ExecutorName, TaskState
from engine.protocol.tasks import BulkRequest, SubmitTask, TaskChange
from engine.scheduler.capacity import Capacity, Machine
from engine.scheduler.loop import Scheduler
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.reads import Reads
from engine.store.rows import Event
from engine.store.writer import Writer
from tests.unit.fake_executor import FakeExecutor, VirtualClock, World


@dataclass
class Desk:
    tasks: Tasks
    queue: Queue
    reads: Reads
    executor: FakeExecutor
    world: World
    events: list[Event]
    news: asyncio.Event

    async def submit(self, **fields: Any) -> str:
        (view,) = await self.tasks.submit([wish(**fields)], "ann")
        return view.id

    async def end(self, task_id: str, exit_code: int = 0) -> None:
        """The task's process ends; returns when that is in the store."""
        key = next(key for key in self.world.running if key.task_id == task_id)
        self.executor.end(key, exit_code)
        self.executor.deliver()
        told = f"task.{'completed' if exit_code == 0 else 'failed'}"
        async with asyncio.timeout(10):
            while not any(event.subject == task_id and event.kind == told for event in self.events):
                self.news.clear()
                await self.news.wait()


def wish(**fields: Any) -> SubmitTask:
    return SubmitTask.model_validate({"job_name": "train", "command": ["true"], **fields})


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Desk]:
    home, settings = Home(folder), Settings(home=folder)
    home.create()
    database = Database.open(f"sqlite:///{home.database}")
    events: list[Event] = []
    news = asyncio.Event()

    def publish(more: list[Event]) -> None:
        events.extend(more)
        news.set()

    writer = Writer(database, publish)
    writer.start()
    reads = Reads(database)
    materials = Materials(home, settings, reads.newest_snapshot)
    world, clock = World(), VirtualClock()
    executor = FakeExecutor(world, clock)
    scheduler = Scheduler(
        writer,
        Capacity(Machine(2, 8, (0, 1))),
        {ExecutorName.PROCESS: executor},
        materials,
        settings=settings,
        home=home,
        worker_id="bench",
        clock=clock,
        call_later=clock.call_later,
        free_mb=lambda: 1_000_000,
    )
    await scheduler.start()
    try:
        tasks, queue = Tasks(scheduler, reads, materials, clock), Queue(scheduler, reads, home)
        yield Desk(tasks, queue, reads, executor, world, events, news)
    finally:
        await scheduler.stop()
        await asyncio.to_thread(writer.close)
        materials.close()
        reads.close()
        database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "home") as desk:
        yield desk


async def test_a_submitted_task_is_shown_as_it_is_stored(desk: Desk) -> None:
    (view,) = await desk.tasks.submit(
        [wish(priority=7, cpu=2, group="sweep", metadata={"team": "a"}, args="--lr 1", timeout_s=5, max_retries=2)],
        "ann",
    )
    assert (view.command, view.user_id, view.state) == (["true", "--lr", "1"], "ann", TaskState.QUEUED)
    stored = await desk.tasks.show(view.id)
    moved = {"state", "status", "attempt", "worker_id", "started_at"}
    assert stored.model_dump(exclude=moved) == view.model_dump(exclude=moved)
    assert len(view.id) == 8


async def test_an_ask_that_can_never_be_met_is_refused_with_what_is_there(desk: Desk) -> None:
    with pytest.raises(Problem) as refused:
        await desk.submit(gpu=3, memory_gb=64)
    assert refused.value.code is ErrorCode.VALIDATION_ERROR
    assert [(field.field, field.value, field.message) for field in refused.value.fields] == [
        ("memory_gb", "64", "this machine has 8"),
        ("gpu", "3", "this machine has 2"),
    ]
    assert (await desk.reads.tasks()).total == 0


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"executor": "docker"}, "executor", "available: process"),
        ({"command": None}, "command", "nothing to run"),
        ({"command": [""]}, "command", "must name a program"),
        ({"command": ["a\0b"]}, "command", "NUL"),
        ({"cwd": "relative"}, "cwd", "absolute"),
        ({"image": "python:3"}, "image", "docker"),
        ({"env": {"A=B": "1"}}, "env.A=B", "="),
        ({"after": ["nowhere1"]}, "after", "nowhere1"),
        ({"args": "it's"}, "args", ""),
        ({"snapshot_id": "0" * 64}, "snapshot_id", ""),
        ({"datasets": ["unheard"]}, "datasets.0", ""),
    ],
)
async def test_what_can_not_be_run_is_refused_by_field(
    desk: Desk, fields: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(Problem) as refused:
        await desk.submit(**fields)
    assert refused.value.code is ErrorCode.VALIDATION_ERROR
    assert [one.field for one in refused.value.fields] == [field]
    assert words in refused.value.message


async def test_a_batch_is_queued_whole_or_not_at_all_and_names_the_bad_one(desk: Desk) -> None:
    with pytest.raises(Problem) as refused:
        await desk.tasks.submit([wish(), wish(cpu=99)], "ann")
    assert [field.field for field in refused.value.fields] == ["tasks.1.cpu"]
    with pytest.raises(Problem):
        await desk.tasks.submit([wish(), wish(after=["nowhere1"])], "ann")
    assert (await desk.reads.tasks()).total == 0
    views = await desk.tasks.submit([wish() for _ in range(300)], "ann")
    shown = (await desk.reads.tasks(sort="order", limit=300)).tasks
    assert [task.id for task in shown] == [view.id for view in views]


async def test_a_queued_task_shows_what_it_waits_for(desk: Desk) -> None:
    await desk.submit(gpu=1)
    waits = await desk.submit(gpu=2)
    assert (await desk.tasks.show(waits)).reason == "waits for 2 GPUs (1 free)"


async def test_a_blocked_task_shows_whom_it_waits_for(desk: Desk) -> None:
    first = await desk.submit(job_name="prep")
    waits = await desk.submit(after=[first])
    assert (await desk.tasks.show(waits)).reason == f"waits for task {first} (prep), which is preparing"
    second = await desk.submit()
    both = await desk.submit(after=[second, first])
    assert ((await desk.tasks.show(both)).reason or "").endswith(" and 1 more")


async def test_cancel_and_retry_are_answered(desk: Desk) -> None:
    task = await desk.submit()
    await desk.end(task, 1)
    with pytest.raises(Problem) as refused:
        await desk.tasks.cancel(task, "bob")
    assert (refused.value.code, "failed already" in refused.value.message) == (ErrorCode.CONFLICT, True)
    view = await desk.tasks.retry(task, TaskChange(memory_gb=8), "bob")
    assert (view.memory_gb, view.error, view.ended_at) == (8, None, None)
    assert view.state in {TaskState.QUEUED, TaskState.PREPARING}
    with pytest.raises(Problem) as refused:
        await desk.tasks.retry(task, None, "bob")
    assert refused.value.code is ErrorCode.CONFLICT
    with pytest.raises(Problem) as refused:
        await desk.tasks.retry("nowhere1", None, "bob")
    assert refused.value.code is ErrorCode.NOT_FOUND


async def test_a_change_is_checked_like_a_submit(desk: Desk) -> None:
    await desk.submit(cpu=2)
    task = await desk.submit()
    assert (await desk.tasks.change(task, TaskChange(priority=9, gpu=1), "bob")).gpu == 1
    with pytest.raises(Problem) as refused:
        await desk.tasks.change(task, TaskChange(gpu=5), "bob")
    assert [field.field for field in refused.value.fields] == ["gpu"]
    with pytest.raises(Problem, match="nothing to change"):
        await desk.tasks.change(task, TaskChange(), "bob")


async def test_many_are_cancelled_by_filter_and_what_has_ended_is_left_alone(desk: Desk) -> None:
    done = await desk.submit(job_name="sweep-0")
    await desk.end(done)
    ids = [view.id for view in await desk.tasks.submit([wish(job_name="sweep-1") for _ in range(1200)], "ann")]
    other = await desk.submit(job_name="other")
    result = await desk.tasks.cancel_many(BulkRequest(filter="sweep"), "bob")
    assert (sorted(result.done), result.refused) == (sorted(ids), {})
    assert (await desk.tasks.show(other)).state is not TaskState.CANCELLED


async def test_a_large_batch_gives_others_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    assert [item async for _, item in _in_turns(range(2000))] == list(range(2000))
    beside.cancel()
    assert turns >= 6


async def test_many_named_ones_say_what_was_refused_and_why(desk: Desk) -> None:
    runs = await desk.submit()
    ended = await desk.submit()
    await desk.end(ended, 1)
    result = await desk.tasks.retry_many(BulkRequest(ids=[ended, runs, "nowhere1"]), "bob")
    assert result.done == [ended]
    assert result.refused[runs].endswith("; only one that has ended can be retried")
    assert result.refused["nowhere1"] == "no task nowhere1"
    with pytest.raises(Problem, match="either ids or a filter"):
        await desk.tasks.cancel_many(BulkRequest(), "bob")


async def test_the_queue_says_that_it_is_paused_and_by_whom(desk: Desk) -> None:
    assert (await desk.queue.stats()).paused is False
    await desk.queue.pause("upgrade", "bob")
    stats = await desk.queue.stats()
    assert (stats.paused, stats.paused_by, stats.paused_at is not None) == (True, "bob", True)
    await desk.queue.resume("bob")
    assert (await desk.queue.stats()).paused is False


async def test_resources_say_who_holds_what(desk: Desk) -> None:
    await desk.queue.limit_group("sweep", 1, "bob")
    task = await desk.submit(gpu=1, memory_gb=3, group="sweep")
    await desk.submit(group="sweep")
    resources = await desk.queue.resources()
    assert (resources.cpu_total, resources.cpu_used) == (2, 1)
    assert (resources.memory_gb_total, resources.memory_gb_used) == (8, 3)
    assert [(gpu.index, gpu.task_id) for gpu in resources.gpus] == [(0, task), (1, None)]
    (group,) = resources.groups
    assert (group.name, group.limit, group.running, group.queued) == ("sweep", 1, 1, 1)
    assert desk.world.launched == [AttemptKey(task, 1)]
