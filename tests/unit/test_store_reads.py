"""What an operator reads of the store."""

import asyncio
import random
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.protocol.states import ENDED, Role, TaskState, WorkerStatus
from engine.protocol.tasks import ArtifactView
from engine.scheduler.transitions import RANKS
from engine.store.database import StoreError
from engine.store.experiment_writes import insert_experiment, insert_snapshot
from engine.store.filters import FilterError
from engine.store.queue_reads import local_midnight
from engine.store.readers import Readers, Snapshot
from engine.store.text import RANKS_BEFORE_THE_END, WORKER_STATUS
from engine.store.writer import Transaction
from tests.unit.store_parts import NOW, Store, add_task, opened


async def ids(store: Store, **query: Any) -> list[str]:
    return [task.id for task in (await store.reads.tasks(**query)).tasks]


async def test_the_default_order_is_that_in_which_an_operator_reads(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(
            lambda tx: [
                add_task(tx, id="ended-first", state="failed", rank_key=-1.0),
                add_task(tx, id="queued-second", rank_key=20.0),
                add_task(tx, id="ended-last", state="completed", rank_key=-2.0),
                add_task(tx, id="blocked", state="blocked", rank_key=1.0),
                add_task(tx, id="queued-first", rank_key=10.0),
                add_task(tx, id="waiting", state="waiting", rank_key=5.0),
                add_task(tx, id="running", state="running", rank_key=99.0),
            ]
        )
        everything = ["running", "waiting", "queued-first", "queued-second", "blocked", "ended-last", "ended-first"]
        assert await ids(store) == everything
        assert await ids(store, sort="-order") == everything[::-1]
        assert await ids(store, limit=2, offset=3) == everything[3:5]


async def test_windows_fit_together_whatever_the_sort(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with opened(tmp_path) as store:
        await store.writer.run(
            lambda tx: [
                add_task(
                    tx,
                    state=chance.choice(["queued", "running", "completed", "failed"]),
                    job_name=chance.choice(["a", "b", "c"]),
                    priority=chance.randint(1, 3),
                    started_at=chance.choice([None, NOW, NOW + 1]),
                    group_name=chance.choice([None, "x", "y"]),
                )
                for _ in range(60)
            ]
        )
        for sort in ("order", "-priority", "job_name", "-started_at", "group", "state", "created_at"):
            whole = await ids(store, sort=sort, limit=1000)
            assert len(set(whole)) == 60
            windows = [await ids(store, sort=sort, limit=7, offset=offset) for offset in range(0, 60, 7)]
            assert [task_id for window in windows for task_id in window] == whole


async def test_equal_tasks_keep_the_order_of_their_submission(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        submitted = await store.writer.run(lambda tx: [add_task(tx, priority=5, rank_key=0.0) for _ in range(20)])
        for sort in ("priority", "order", "job_name", "started_at"):
            assert await ids(store, sort=sort, limit=100) == submitted
            assert await ids(store, sort=f"-{sort}", limit=100) == submitted[::-1]


async def test_what_is_not_known_sorts_last_either_way(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(
            lambda tx: [
                add_task(tx, id="never", started_at=None),
                add_task(tx, id="late", started_at=NOW + 2),
                add_task(tx, id="early", started_at=NOW + 1),
            ]
        )
        assert await ids(store, sort="started_at") == ["early", "late", "never"]
        assert await ids(store, sort="-started_at") == ["late", "early", "never"]


async def test_total_counts_what_matches_and_seq_is_the_newest_event_in_the_window(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: [add_task(tx, job_name=name) for name in ("a", "b", "a")])
        found = await store.reads.tasks(filter="name:a", limit=1)
        assert (found.total, found.limit, found.offset, found.seq, len(found.tasks)) == (2, 1, 0, 3, 1)
        assert (await store.reads.tasks(filter="name:a", limit=1)).total == 2
        await store.writer.run(lambda tx: add_task(tx, job_name="a"))
        found = await store.reads.tasks(filter="name:a", limit=1)
        assert (found.total, found.seq) == (3, 4)
        beyond = await store.reads.tasks(offset=1000)
        assert (beyond.tasks, beyond.total) == ([], 4)
        assert (await store.reads.tasks(limit=0)).tasks == []


async def test_a_window_and_its_seq_are_of_one_moment(tmp_path: Path) -> None:
    """While tasks are added, each in a commit of its own with one event, total and seq never part."""
    async with opened(tmp_path) as store:

        async def add() -> None:
            for _ in range(60):
                await store.writer.run(add_task)

        adding = asyncio.ensure_future(add())
        seen = set()
        while not adding.done():
            found = await store.reads.tasks(limit=1000)
            assert len(found.tasks) == found.total == found.seq
            seen.add(found.seq)
        await adding
        assert len(seen) > 1


@pytest.mark.parametrize("status", list(WorkerStatus))
async def test_the_contracts_status_finds_the_native_states_behind_it(tmp_path: Path, status: WorkerStatus) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: [add_task(tx, id=state, state=state, job_name="x") for state in TaskState])
        found = await store.reads.tasks(status=status, filter="name:x")
        assert {task.id for task in found.tasks} == {state for state in TaskState if WORKER_STATUS[state] == status}
        assert all(task.status == status for task in found.tasks)
        assert found.total == len(found.tasks)


def test_every_state_has_a_word_in_the_contract() -> None:
    assert set(WORKER_STATUS) == set(TaskState)


def test_the_ranks_are_those_that_the_scheduler_gives() -> None:
    assert {state: rank for state, rank in RANKS.items() if state not in ENDED} == RANKS_BEFORE_THE_END


async def test_a_task_is_shown_with_all_that_was_asked_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> None:
            first, second = add_task(tx), add_task(tx)
            add_task(
                tx,
                id="whole",
                state="cancelled",
                command='["echo","\\u00e9"]',
                metadata='{"owner":"ada"}',
                gpu_ids="[1,3]",
                datasets='["mnist"]',
                group_name="vision",
                reason="cancelled by ada",
                started_at=NOW + 0.5,
                timeout_s=1.5,
            )
            for other in (first, second):
                tx.execute("INSERT INTO dependencies (task_id, on_task_id) VALUES ('whole', :other)", {"other": other})

        await store.writer.run(work)
        task = await store.reads.task("whole")
        assert task is not None
        assert (task.state, task.status) == (TaskState.CANCELLED, WorkerStatus.FAILED)
        assert task.error == task.reason == "cancelled by ada"
        assert task.command == ["echo", "é"]
        assert (task.metadata, task.gpu_ids, task.datasets, task.group) == (
            {"owner": "ada"},
            [1, 3],
            ["mnist"],
            "vision",
        )
        assert len(task.after) == 2
        assert task.started_at == datetime.fromtimestamp(NOW + 0.5, UTC)
        assert task.timeout_s == 1.5
        assert (await store.reads.tasks(filter="id:whole")).tasks == [task]
        assert await store.reads.task("whol") is None


async def test_ids_are_found_by_prefix_and_up_to_a_limit(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: [add_task(tx, id=name) for name in ("k4aa", "k4ab", "k5aa")])
        assert await store.reads.ids_matching("id:k4", 10) == ["k4aa", "k4ab"]
        assert await store.reads.ids_matching("id:k4", 1) == ["k4aa"]
        assert await store.reads.ids_matching("id:zz", 10) == []
        with pytest.raises(FilterError):
            await store.reads.ids_matching("id:", 10)


async def test_attempts_and_artifacts_of_a_task(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> None:
            task = add_task(tx, id="a", state="running", attempt=2)
            for number, outcome in ((2, None), (1, "timed_out")):
                tx.execute(
                    "INSERT INTO attempts (task_id, number, worker_id, claimed_at, gpu_ids, outcome)"
                    " VALUES (:id, :number, 'w', :now, '[0]', :outcome)",
                    {"id": task, "number": number, "now": NOW, "outcome": outcome},
                )
            tx.execute(
                "INSERT INTO artifacts (id, task_id, attempt, path, bytes, sha256, created_at)"
                " VALUES ('x', 'a', 1, 'model.bin', 7, 'ff', :now)",
                {"now": NOW},
            )

        await store.writer.run(work)
        attempts = await store.reads.attempts("a")
        assert [(attempt.number, attempt.outcome, attempt.gpu_ids) for attempt in attempts] == [
            (1, "timed_out", [0]),
            (2, None, [0]),
        ]
        assert await store.reads.artifacts("a") == [
            ArtifactView(
                id="x",
                task_id="a",
                attempt=1,
                path="model.bin",
                bytes=7,
                sha256="ff",
                created_at=datetime.fromtimestamp(NOW, UTC),
            )
        ]
        assert await store.reads.attempts("b") == []


async def test_the_counts_of_the_queue(tmp_path: Path) -> None:
    today, yesterday = local_midnight() + 1, local_midnight() - 1
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> None:
            for state in TaskState:
                add_task(tx, state=state, **({"ended_at": today} if state in ENDED else {}))
            for state in ENDED:
                add_task(tx, state=state, ended_at=yesterday)

        await store.writer.run(work)
        stats = await store.reads.queue_stats()
        assert (stats.queued, stats.running, stats.completed, stats.failed, stats.workers) == (3, 3, 1, 3, 1)
        assert stats.by_state == {state: 2 if state in ENDED else 1 for state in TaskState}
        assert stats.ended_today == dict.fromkeys(ENDED, 1)
        assert stats.seq == 14
        await store.writer.run(add_task)
        assert (await store.reads.queue_stats()).queued == 4


async def test_the_counts_of_an_empty_queue(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        stats = await store.reads.queue_stats()
        assert (stats.queued, stats.running, stats.completed, stats.failed, stats.seq) == (0, 0, 0, 0, 0)
        assert set(stats.by_state) == set(TaskState)


def test_midnight_is_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for zone in ("UTC", "Pacific/Auckland", "America/St_Johns"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            midnight = time.localtime(local_midnight())
            assert (midnight.tm_hour, midnight.tm_min, midnight.tm_sec) == (0, 0, 0)
            assert midnight.tm_yday == time.localtime().tm_yday
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_events_of_one_subject(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for name in "abab":
            await store.writer.run(lambda tx, name=name: tx.event("said", name, {"x": name}))  # type: ignore[misc]
        assert [event.seq for event in await store.reads.events(0, 10, subject="b")] == [2, 4]
        assert [event.seq for event in await store.reads.events(2, 10, subject="b")] == [4]
        assert [event.seq for event in await store.reads.events(1, 2)] == [2, 3]


async def test_experiments_and_their_snapshots(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> None:
            insert_experiment(tx, "e1", "bert", "words", "ada")
            insert_snapshot(tx, "s1", files=3, size=100, experiment=("bert", "unused"), user="ada")
            insert_snapshot(tx, "s2", files=4, size=200, experiment=("bert", "unused"), user="ada")
            insert_snapshot(tx, "s1", files=3, size=100, experiment=("new", "e2"), user="ada")
            insert_snapshot(tx, "s3", files=1, size=1, experiment=None, user="ada")

        await store.writer.run(work)
        experiments = {view.name: view for view in await store.reads.experiments()}
        assert {name: view.commit_id for name, view in experiments.items()} == {"bert": "s2", "new": "s1"}
        assert (experiments["bert"].id, experiments["bert"].description) == ("e1", "words")
        assert await store.reads.newest_snapshot("bert") == "s2"
        assert await store.reads.newest_snapshot("none") is None
        snapshots = {view.id: view.experiment for view in await store.reads.snapshots()}
        assert snapshots == {"s1": "new", "s2": "bert", "s3": None}


async def test_keys_are_listed_without_their_secret(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(
            lambda tx: tx.execute(
                "INSERT INTO keys (id, name, role, prefix, hash, created_at, revoked_at)"
                " VALUES ('k', 'ci', 'viewer', 'sf_12', 'secret', 1.0, NULL)"
            )
        )
        (key,) = await store.reads.keys()
        assert (key.name, key.role, key.prefix, key.revoked_at) == ("ci", Role.VIEWER, "sf_12", None)
        assert "secret" not in key.model_dump_json()


async def test_the_lists_that_wait_for_their_work_are_there_and_empty(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        reads = store.reads
        assert (await reads.jobs(limit=10, offset=0)).rows == []
        assert await reads.job("none") is None
        assert await reads.job_phases("none") == []
        assert (await reads.phases(limit=10, offset=0)).total == 0
        assert (await reads.approvals(state=None, limit=10, offset=0)).total == 0
        costs = await reads.costs("model")
        assert (costs.total, costs.today, costs.daily_limit) == (Decimal(0), Decimal(0), None)
        assert costs.lines == []


async def test_jobs_phases_costs_and_approvals_show_what_is_stored(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        def work(tx: Transaction) -> None:
            tx.execute(
                "INSERT INTO jobs (id, kind, name, state, parameters, created_at)"
                " VALUES ('j', 'sft', 'x', 'running', '{}', 1)"
            )
            for position, state in enumerate(("passed", "running", "pending")):
                tx.execute(
                    "INSERT INTO phases (job_id, name, position, state, attempt)"
                    " VALUES ('j', :state, :position, :state, 0)",
                    {"state": state, "position": position},
                )
            for number, (model, cost, at) in enumerate(
                [("m1", 1_500_000, 1.0), ("m1", 250_000, local_midnight() + 1), ("m2", None, local_midnight() + 1)]
            ):
                tx.execute(
                    "INSERT INTO calls (id, at, job_id, provider, model, input_tokens, cache_read_tokens,"
                    " cache_write_tokens, output_tokens, reasoning_tokens, cost_micros)"
                    " VALUES (:number, :at, 'j', 'p', :model, 10, 5, 0, 3, 1, :cost)",
                    {"number": str(number), "model": model, "cost": cost, "at": at},
                )
            for state in ("open", "approved"):
                tx.execute(
                    "INSERT INTO checkpoints (id, kind, title, digest, state, created_at)"
                    " VALUES (:state, 'plan', 't', 'd', :state, 1)",
                    {"state": state},
                )

        await store.writer.run(work)
        (job,) = (await store.reads.jobs(limit=10, offset=0)).rows
        assert (job.phase, job.phases_done, job.phases_total, job.cost) == ("running", 1, 3, Decimal("1.75"))
        assert await store.reads.job("j") == job
        phases = await store.reads.phases(limit=2, offset=1)
        assert ([phase.name for phase in phases.rows], phases.total) == (["running", "pending"], 3)
        assert [phase.name for phase in await store.reads.job_phases("j")] == ["passed", "running", "pending"]
        costs = await store.reads.costs("model")
        assert (costs.total, costs.today) == (Decimal("1.75"), Decimal("0.25"))
        assert [(line.key, line.calls, line.cost, line.unpriced) for line in costs.lines] == [
            ("m1", 2, Decimal("1.75"), 0),
            ("m2", 1, Decimal(0), 1),
        ]
        assert (costs.lines[0].input_tokens, costs.lines[0].output_tokens) == (30, 8)
        for by in ("provider", "job", "phase", "agent", "day"):
            assert sum(line.calls for line in (await store.reads.costs(by)).lines) == 3
        approvals = await store.reads.approvals(state="open", limit=10, offset=0)
        assert ([row.id for row in approvals.rows], approvals.total) == (["open"], 1)


@pytest.mark.parametrize("text", ["", "state:queued", "status:queued cpu:1"])
async def test_the_first_window_of_a_long_queue_reads_only_its_own_rows(tmp_path: Path, text: str) -> None:
    """The work of a window, in the database's own steps, hardly grows with the queue."""
    async with opened(tmp_path) as store:
        work: list[int] = []
        for more in (100, 4900):
            await store.writer.run(lambda tx, more=more: [add_task(tx) for _ in range(more)])  # type: ignore[misc]
            work.append(await _steps(store, text))
    assert work[1] < 1.2 * work[0]


async def _steps(store: Store, text: str) -> int:
    """Virtual machine steps of SQLite for the first window in the default order."""
    from engine.store.filters import condition
    from engine.store.orders import order_by
    from engine.store.task_reads import _window

    def look(snapshot: Snapshot) -> int:
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection = snapshot._cursor.connection  # type: ignore[attr-defined]
        connection.set_progress_handler(count, 10)
        try:
            assert (
                len(_window(snapshot, condition(text, snapshot.backend.command_text), order_by("order"), 50, 0)) == 50
            )
        finally:
            connection.set_progress_handler(None, 0)
        return steps

    return await store.reads._readers.look(look)


async def test_readers_are_not_held_up_by_a_writer_and_never_see_half_of_its_work(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        loop = asyncio.get_running_loop()
        half, go = asyncio.Event(), threading.Event()

        def work(tx: Transaction) -> None:
            add_task(tx)
            loop.call_soon_threadsafe(half.set)
            assert go.wait(30)
            add_task(tx)

        writing = asyncio.ensure_future(store.writer.run(work))
        await asyncio.wait_for(half.wait(), 30)
        assert (await store.reads.tasks()).total == 0
        go.set()
        await writing
        assert (await store.reads.tasks()).total == 2


async def test_a_reader_can_not_write(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(StoreError):
            await store.reads._readers.look(lambda snapshot: snapshot.rows("DELETE FROM tasks"))


async def test_closed_readers_say_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store.reads.close()
        with pytest.raises(StoreError, match="stopping"):
            await store.reads.tasks()


async def test_a_look_that_takes_long_does_not_hold_up_the_end(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with opened(tmp_path) as store:
        readers = Readers(store.database)
        begun = threading.Event()

        def count(snapshot: Snapshot) -> object:
            begun.set()
            return snapshot.one(numbers)

        looking = asyncio.create_task(readers.look(count))
        await asyncio.to_thread(begun.wait)
        await asyncio.sleep(0.05)  # into the statement
        async with asyncio.timeout(5):
            await asyncio.to_thread(readers.close)
            with pytest.raises(StoreError, match="stopping"):
                await looking
