"""What the writer promises to those who hand it work."""

import asyncio
import functools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.store.database import Conflict, Database, DiskFull, LockedDatabase, StoreError
from engine.store.writer import Transaction, Writer
from tests.unit.store_parts import Store, add_mark, marks, opened, url


class Held:
    """A work that keeps the writer busy until it is let go: what is handed in meanwhile shares a commit."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._go = threading.Event()

    def __call__(self, _: Transaction) -> None:
        self._loop.call_soon_threadsafe(self._begun.set)
        assert self._go.wait(30)

    async def begun(self) -> None:
        await asyncio.wait_for(self._begun.wait(), 30)

    def let_go(self) -> None:
        self._go.set()


async def together(store: Store, works: list[Callable[[Transaction], object]]) -> list[object]:
    """Hand in all works while the writer is held; their results or exceptions, in order."""
    held = Held()
    first = asyncio.ensure_future(store.writer.run(held))
    await held.begun()
    waiting = [asyncio.ensure_future(store.writer.run(work)) for work in works]
    await asyncio.sleep(0)
    held.let_go()
    await first
    return list(await asyncio.gather(*waiting, return_exceptions=True))


def mark(name: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        add_mark(tx, name)
        tx.event("marked", name, {"n": 1})

    return work


def fail_after(name: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        mark(name)(tx)
        raise ValueError(name)

    return work


async def test_a_result_comes_back_after_its_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> int:
            add_mark(tx, "a")
            return 42

        assert await store.writer.run(work) == 42
        assert marks(tmp_path) == ["a"]


async def test_events_are_published_before_the_caller_is_answered(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(mark("a"))
        assert [(e.seq, e.kind, e.subject, e.data) for e in store.events] == [(1, "marked", "a", {"n": 1})]


async def test_works_that_queue_up_share_one_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await together(store, [mark(str(n)) for n in range(100)])
        assert len(store.commits) == 1
        assert [event.seq for event in store.events] == list(range(1, 101))


async def test_a_work_that_fails_takes_back_only_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        results = await together(store, [fail_after("a"), mark("b"), fail_after("c"), mark("d"), fail_after("e")])
        assert [str(result) for result in results] == ["a", "None", "c", "None", "e"]
        assert marks(tmp_path) == ["b", "d"]
        assert [(event.seq, event.subject) for event in store.events] == [(1, "b"), (2, "d")]


async def test_a_broken_rule_is_the_callers_conflict_and_no_one_elses(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first, second, third = await together(store, [mark("a"), mark("a"), mark("b")])
        assert first is None
        assert isinstance(second, Conflict)
        assert third is None
        assert marks(tmp_path) == ["a", "b"]


async def test_a_work_may_catch_a_conflict_and_go_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> str:
            try:
                add_mark(tx, "a")
            except Conflict:
                add_mark(tx, "a again")
            return "went on"

        assert await together(store, [mark("a"), work]) == [None, "went on"]
        assert marks(tmp_path) == ["a", "a again"]


async def test_a_caller_that_stops_waiting_does_not_stop_the_work(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        held = Held()
        first = asyncio.ensure_future(store.writer.run(held))
        await held.begun()
        gone = asyncio.ensure_future(store.writer.run(mark("a")))
        await asyncio.sleep(0)
        gone.cancel()
        held.let_go()
        await first
        await store.writer.run(mark("b"))
        assert gone.cancelled()
        assert marks(tmp_path) == ["a", "b"]


async def test_callbacks_come_in_the_order_of_the_commits_even_when_one_fails(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        told: list[str] = []
        faults: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["message"]))

        def done(name: str, _: object, error: BaseException | None) -> None:
            told.append(name if error is None else f"{name}: {error}")
            if name == "b":
                raise RuntimeError("the callback's own fault")

        for name, work in (("a", mark("a")), ("b", mark("b")), ("c", fail_after("c")), ("d", mark("d"))):
            store.writer.submit(work, functools.partial(done, name))
        await store.writer.run(mark("e"))
        assert told == ["a", "b", "c: c", "d"]
        assert faults == ["a writer's callback failed"]


async def test_sixteen_callers_get_their_own_answers(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        async def caller(name: int) -> None:
            for n in range(40):
                assert await store.writer.run(functools.partial(_named, f"{name} {n}")) == f"{name} {n}"

        await asyncio.gather(*(caller(name) for name in range(16)))
        assert sorted(marks(tmp_path)) == sorted(f"{name} {n}" for name in range(16) for n in range(40))
        assert [event.seq for event in store.events] == list(range(1, 641))


async def test_threads_may_hand_in_work_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        loop = asyncio.get_running_loop()
        answers: list[object] = []
        everyone = asyncio.Event()

        def done(result: object, error: BaseException | None) -> None:
            answers.append(error or result)
            if len(answers) == 16 * 20:
                everyone.set()

        def caller(name: int) -> None:
            for n in range(20):
                store.writer.submit(functools.partial(_named, f"{name} {n}"), done)

        await asyncio.gather(*(loop.run_in_executor(None, caller, name) for name in range(16)))
        await asyncio.wait_for(everyone.wait(), 30)
        assert answers == marks(tmp_path), "answered in the order of the commits"


def _named(name: str, tx: Transaction) -> str:
    mark(name)(tx)
    return name


async def test_closing_finishes_what_was_handed_in_and_refuses_more(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        waiting = [asyncio.ensure_future(store.writer.run(mark(str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        store.writer.close()
        await asyncio.gather(*waiting)
        assert len(marks(tmp_path)) == 50
        with pytest.raises(StoreError, match="stopping"):
            await store.writer.run(mark("late"))


async def test_event_numbers_go_on_after_a_restart_even_when_all_were_pruned(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await together(store, [mark("a"), mark("b")])
        await store.writer.run(lambda tx: tx.execute("DELETE FROM events"))
    async with opened(tmp_path) as store:
        assert await store.reads.newest_event() == 2
        await store.writer.run(mark("c"))
        assert [event.seq for event in store.events] == [3]


steps = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=12)


@given(batches=st.lists(steps, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_what_succeeded_is_there_in_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[bool, int, bool]]]
) -> None:
    """Each work writes some marks and events, and then fails or not; each list of works shares a commit."""
    folder = tmp_path_factory.mktemp("store")
    expected: list[str] = []

    async def scenario() -> None:
        async with opened(folder) as store:
            for b, batch in enumerate(batches):
                works: list[Callable[[Transaction], object]] = []
                for n, (fails, writes, reads_first) in enumerate(batch):
                    names = [f"{b}.{n}.{w}" for w in range(writes)]
                    works.append(functools.partial(_step, names, fails, reads_first))
                    if not fails:
                        expected.extend(names)
                results = await together(store, works)
                assert [isinstance(result, ValueError) for result in results] == [step[0] for step in batch]
            assert [event.subject for event in store.events] == expected
            assert [event.seq for event in store.events] == list(range(1, len(expected) + 1))
            assert await store.reads.events(0, 1000) == store.events

    asyncio.run(scenario())
    assert marks(folder) == expected


def _step(names: list[str], fails: bool, reads_first: bool, tx: Transaction) -> None:
    if reads_first:
        tx.rows("SELECT count(*) FROM engine_state")
    for name in names:
        mark(name)(tx)
    if fails:
        raise ValueError


async def test_a_full_database_fails_all_of_the_commit_and_the_writer_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(mark("before"))
        pages = await store.writer.run(lambda tx: tx.rows("PRAGMA page_count")[0][0])
        await store.writer.run(lambda tx: tx.rows(f"PRAGMA max_page_count = {pages + 2}"))
        results = await together(store, [mark("small"), fail_after("own fault"), _large, mark("behind")])
        assert isinstance(results[1], ValueError)
        for result in (results[0], results[2], results[3]):
            assert isinstance(result, DiskFull)
            assert "full" in str(result)
            assert "nothing was written" in str(result)
        assert marks(tmp_path) == ["before"]
        await store.writer.run(lambda tx: tx.rows("PRAGMA max_page_count = 1000000"))
        await store.writer.run(mark("after"))
        assert marks(tmp_path) == ["before", "after"]
        assert [event.seq for event in store.events] == [1, 2]


def _large(tx: Transaction) -> None:
    for n in range(50):
        values = {"name": f"large {n}", "value": f'"{"x" * 4000}"'}
        tx.execute("INSERT INTO engine_state (name, value) VALUES (:name, :value)", values)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_named_and_survived(small_disk: Path) -> None:
    async with opened(small_disk) as store:
        await store.writer.run(mark("before"))
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 8192))
        with pytest.raises(DiskFull, match="full: nothing was written"):
            await store.writer.run(_large)
        filler.unlink()
        await store.writer.run(_large)
        await store.writer.run(mark("after"))
        assert marks(small_disk) == ["before", "after"]


async def test_a_work_that_hides_that_the_disk_is_full_is_not_believed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        pages = await store.writer.run(lambda tx: tx.rows("PRAGMA page_count")[0][0])
        await store.writer.run(lambda tx: tx.rows(f"PRAGMA max_page_count = {pages + 2}"))

        def work(tx: Transaction) -> str:
            with suppress(StoreError):
                _large(tx)
            return "all is well"

        with pytest.raises(DiskFull):
            await store.writer.run(work)
        assert marks(tmp_path) == []


async def test_a_locked_database_is_named_and_written_to_once_it_is_free(tmp_path: Path) -> None:
    async with opened(tmp_path, busy_timeout_s=0.05) as store:
        with closing(sqlite3.connect(tmp_path / "shopfloor.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LockedDatabase, match="locked by another program"):
                await store.writer.run(mark("a"))
            other.execute("ROLLBACK")
        await store.writer.run(mark("b"))
        assert marks(tmp_path) == ["b"]


_ACKNOWLEDGE = """
import asyncio, sys
from engine.store.database import Database
from engine.store.writer import Writer
from tests.unit.store_parts import add_mark

async def main():
    database = Database.open(sys.argv[1])
    writer = Writer(database, lambda events: None)
    writer.start()
    async def caller(name):
        n = 0
        while True:
            n += 1
            await writer.run(lambda tx: add_mark(tx, f"{name} {n}"))
            sys.stdout.write(f"{name} {n}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(caller(name) for name in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 100, 700])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, acknowledged: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ACKNOWLEDGE, url(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    said += [line.strip() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    Database.open(url(tmp_path)).close()
    kept = set(marks(tmp_path))
    assert set(said) <= kept
    assert len(kept) <= len(said) + 8, "at most what was on its way is there beside"


async def test_a_fault_of_the_writer_itself_is_told_and_survived(tmp_path: Path) -> None:
    database = Database.open(url(tmp_path))
    times: Iterator[float | Exception] = iter([1.0, RuntimeError("the clock broke"), 3.0])

    def clock() -> float:
        now = next(times)
        if isinstance(now, Exception):
            raise now
        return now

    writer = Writer(database, lambda _: None, clock)
    writer.start()
    await writer.run(mark("a"))
    with pytest.raises(StoreError, match="the clock broke"):
        await writer.run(mark("b"))
    await writer.run(mark("c"))
    writer.close()
    writer.close()
    database.close()
    assert marks(tmp_path) == ["a", "c"]


async def test_the_time_of_a_work_is_one(tmp_path: Path) -> None:
    database = Database.open(url(tmp_path))
    ticks = iter(range(1, 100))
    writer = Writer(database, lambda _: None, clock=lambda: float(next(ticks)))
    writer.start()
    seen = await writer.run(lambda tx: (tx.now, tx.now))
    writer.close()
    database.close()
    assert seen[0] == seen[1]


async def test_a_part_that_fails_takes_back_itself_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def broken(tx: Transaction) -> None:
            add_mark(tx, "lost")
            tx.event("task.queued", "lost", {})
            raise ValueError("lost")

        def work(tx: Transaction) -> None:
            add_mark(tx, "first")
            with pytest.raises(ValueError, match="lost"):
                tx.apart(lambda: broken(tx))
            tx.apart(lambda: add_mark(tx, "second"))
            tx.event("task.queued", "kept", {})

        await store.writer.run(work)
        assert marks(tmp_path) == ["first", "second"]
        assert [event.subject for event in await store.reads.events(0, 10)] == ["kept"]
