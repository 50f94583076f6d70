"""Random lives of a queue, with invariants by name that must hold whenever the engine is at rest."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.executors.base import AttemptKey
from engine.protocol.states import ENDED, LIVE
from engine.protocol.tasks import SubmitTask, TaskChange
from engine.scheduler.refusals import Refused
from engine.scheduler.submission import NewTask
from engine.store.errors import StoreError
from tests.unit.scheduler_rig import Rig

AGEING_S = 300.0
GROUPS = st.sampled_from([None, None, "sweep", "eval"])
PICK = st.integers(min_value=0, max_value=1000)

asks = st.fixed_dictionaries(
    {
        "cpu": st.integers(0, 4),
        "memory_gb": st.sampled_from([0, 0, 1, 8]),
        "gpu": st.sampled_from([0, 0, 0, 1, 2, 3]),
    }
)
requests = st.builds(
    lambda ask, **more: {**ask, **more},
    asks,
    priority=st.integers(1, 10),
    group=GROUPS,
    max_retries=st.sampled_from([0, 0, 1, 3]),
    timeout_s=st.sampled_from([None, None, 30.0]),
)


class Seen(NamedTuple):
    """A task as it was when the engine was last at rest."""

    state: str
    attempt: int
    place: tuple[float, int]
    lane: tuple[object, ...]
    not_before: float | None


class SchedulerMachine(RuleBasedStateMachine):
    """Operators, processes, power cuts and kills at once; the invariants say what may never be seen."""

    rig_type: ClassVar[Callable[..., Rig]] = Rig

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="sched")
        self.rig = type(self).rig_type(
            Path(self.folder.name), cpu=4, memory_gb=16, gpus=(0, 1, 3), ageing_s=AGEING_S, reserve_after_s=60.0
        )
        self.revived: set[str] = set()
        self.cancelled: dict[str, int] = {}
        self.touched: set[str] = set()
        self.before: dict[str, Seen] = {}

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            try:
                self.no_task_is_lost()
            finally:
                self.rig.crash()
                self.folder.cleanup()

    # What people do

    @rule(request=requests, count=st.integers(1, 4))
    def submit(self, request: dict[str, Any], count: int) -> None:
        self.rig.submit(count, **request)

    @precondition(lambda self: self.before)
    @rule(request=requests, picks=st.lists(PICK, min_size=1, max_size=3))
    def submit_after(self, request: dict[str, Any], picks: list[int]) -> None:
        self.rig.submit(after=[self._task(pick) for pick in picks], **request)

    @precondition(lambda self: self.before)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self.rig.run(self._cancel(self._task(pick)))
        self.rig.settle()

    @precondition(lambda self: self.before)
    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        self.rig.run(self._retry(self._task(pick)))
        self.rig.settle()

    @precondition(lambda self: self.before)
    @rule(pick=PICK, priority=st.integers(1, 10), cpu=st.integers(0, 4))
    def change(self, pick: int, priority: int, cpu: int) -> None:
        self.rig.run(self._change(self._task(pick), TaskChange(priority=priority, cpu=cpu)))
        self.rig.settle()

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        scheduler = self.rig.scheduler
        self.rig.run(scheduler.pause(None, "bob") if paused else scheduler.resume("bob"))
        self.rig.settle()

    @rule(group=st.sampled_from(["sweep", "eval"]), limit=st.sampled_from([None, 0, 1, 2]))
    def limit(self, group: str, limit: int | None) -> None:
        self.rig.run(self.rig.scheduler.limit_group(group, limit, "bob"))
        self.rig.settle()

    # What happens

    @precondition(lambda self: self.rig.world.running)
    @rule(pick=PICK, how=st.sampled_from(["ok", "ok", "ok", "fails", "killed", "lost"]), told=st.booleans())
    def end(self, pick: int, how: str, told: bool) -> None:
        self._end(pick, how)
        if told:
            self.rig.deliver()

    @rule()
    def deliver(self) -> None:
        self.rig.deliver()

    @rule(seconds=st.sampled_from([0.01, 1, 10, 100, 1000]))
    def time_goes_by(self, seconds: float) -> None:
        self.rig.advance(seconds)

    @precondition(lambda self: self.before)
    @rule(
        picks=st.lists(PICK, min_size=1, max_size=3),
        verbs=st.lists(st.sampled_from(["cancel", "retry", "change", "end", "submit"]), min_size=2, max_size=5),
        how=st.sampled_from(["ok", "fails", "lost"]),
    )
    def all_at_once(self, picks: list[int], verbs: list[str], how: str) -> None:
        """Several things before the engine has written the first of them."""

        async def work() -> None:
            await asyncio.gather(*self._begun(picks, verbs, how))

        self.rig.run(work())
        self.rig.settle()

    @precondition(lambda self: self.before)
    @rule(
        picks=st.lists(PICK, min_size=1, max_size=3),
        verbs=st.lists(st.sampled_from(["cancel", "change", "end", "submit"]), min_size=1, max_size=4),
        written=st.booleans(),
        turns=st.integers(1, 6),
        power=st.sampled_from([True, True, True, False]),
    )
    def killed(self, picks: list[int], verbs: list[str], written: bool, turns: int, power: bool) -> None:
        """The engine is killed in the middle of things: what it handed in is on disk, or is not."""

        async def work() -> None:
            self.rig.executor.gone = True
            self.rig.writer.loses = not written
            begun = [asyncio.ensure_future(one) for one in self._begun(picks, verbs, "fails")]
            for _ in range(turns):
                await asyncio.sleep(0)
            for one in begun:
                one.cancel()
            await asyncio.wait(begun)

        self.rig.run(work())
        self.rig.crash()
        if not power:
            # An attempt whose start was not on disk yet is started again: nobody knows that it ran.
            for key in {*self.rig.world.running, *self.rig.world.ended}:
                self.rig.world.launched.remove(key)
            self.rig.world.power_cut()
        self.rig.boot()
        self.rig.settle()
        # Whoever was not answered does not know what became of his wish.
        self.touched |= {self._task(pick) for pick in picks}

    @precondition(lambda self: self.rig.world.running)
    @rule(pick=PICK, how=st.sampled_from(["ok", "fails", "lost"]))
    def cancelled_as_it_ends(self, pick: int, how: str) -> None:
        running = sorted(self.rig.running())
        task = running[pick % len(running)]

        async def work() -> None:
            cancelling = asyncio.ensure_future(self._cancel(task))
            await asyncio.sleep(0)
            self._end(pick, how, task)
            self.rig.executor.deliver()
            await cancelling

        self.rig.run(work())
        self.rig.settle()

    @rule()
    def restarted(self) -> None:
        self.rig.stop()
        self.rig.boot()
        self.rig.settle()

    @rule(seconds=st.sampled_from([0.1, 5]))
    def disk_is_full_for_a_while(self, seconds: float) -> None:
        self.rig.writer.disk_full = True
        self.rig.run(self._wake())
        self.rig.deliver()
        self.rig.advance(seconds)
        self.rig.writer.disk_full = False
        self.rig.advance(2)

    # What may never be seen

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "rig"):
            return
        self.one_lease_per_attempt()
        self.capacity_is_never_exceeded_and_is_what_live_rows_say()
        self.no_gpu_is_shared()
        self.what_ended_stays_ended()
        self.what_was_cancelled_never_comes_back()
        self.who_waits_for_others_waits_for_something_that_can_come()
        self.equals_start_in_order()
        self.nothing_idles()

    def one_lease_per_attempt(self) -> None:
        launched = self.rig.world.launched
        assert len(launched) == len(set(launched)), "an attempt was started twice"

    def capacity_is_never_exceeded_and_is_what_live_rows_say(self) -> None:
        rig = self.rig
        live = rig.live()
        machine, capacity = rig.machine, rig.scheduler.board.capacity
        assert sum(row.cpu for row in live) <= machine.cpu
        assert sum(row.memory_gb for row in live) <= machine.memory_gb
        assert {row.id for row in live} == set(capacity.held), "room is held by who is not live, or not by who is"
        assert capacity.free_cpu == machine.cpu - sum(row.cpu for row in live)
        assert capacity.free_memory_gb == machine.memory_gb - sum(row.memory_gb for row in live)
        held = [gpu for row in live for gpu in json.loads(row.gpu_ids)]
        assert sorted([*held, *capacity.free_gpus]) == list(machine.gpu_ids)
        assert all(len(json.loads(row.gpu_ids)) == row.gpu for row in live)

    def no_gpu_is_shared(self) -> None:
        rig = self.rig
        used = [gpu for launch in rig.world.running.values() for gpu in launch.gpu_ids]
        assert len(used) == len(set(used)), "two processes were given the same GPU"

    def what_ended_stays_ended(self) -> None:
        rig = self.rig
        rows = rig.rows()
        for task, seen in self.before.items():
            if seen.state in ENDED and task not in self.revived:
                assert (rows[task].state, rows[task].attempt) == (seen.state, seen.attempt)

    def what_was_cancelled_never_comes_back(self) -> None:
        rig = self.rig
        rows = rig.rows()
        for task, attempt in self.cancelled.items():
            assert rows[task].attempt == attempt, "a cancelled task was claimed again"
            assert rows[task].state in LIVE | {"cancelled"}, "a cancelled task came back"
            if rows[task].state in LIVE:
                assert AttemptKey(task, attempt) in {*rig.world.running, *rig.world.ended} or rig.executor.outbox

    def who_waits_for_others_waits_for_something_that_can_come(self) -> None:
        rig = self.rig
        rows = rig.rows()
        needs: dict[str, list[str]] = {task: [] for task in rows}
        for task, on in rig.query("SELECT task_id, on_task_id FROM dependencies"):
            needs[task].append(rows[on].state)
        for task, row in rows.items():
            if row.state == "blocked":
                assert any(state != "completed" for state in needs[task]), "all is there, and it is still blocked"
                assert not any(state in ENDED - {"completed"} for state in needs[task]), "it waits in vain"

    def equals_start_in_order(self) -> None:
        """Of tasks that ask for the same, none starts before one that was ahead of it."""
        now = self._seen()
        started = [
            seen
            for task, seen in now.items()
            if seen.attempt > (self.before[task].attempt if task in self.before else 0) and task not in self.touched
        ]
        still = [
            seen
            for task, seen in self.before.items()
            if seen.state == "queued" and seen.not_before is None and now[task] == seen and task not in self.touched
        ]
        for first in started:
            for other in still:
                assert first.lane != other.lane or first.place < other.place, "a task was overtaken by its equal"
        self.before = now
        self.touched = set()
        self.revived = set()

    def nothing_idles(self) -> None:
        """What fits is running, unless room is kept for somebody."""
        rig = self.rig
        board = rig.scheduler.board
        if board.pause is not None or board.ready.reservation.holder is not None:
            return
        for task, seen in self.before.items():
            if seen.state == "queued" and (seen.not_before is None or seen.not_before <= rig.clock.now):
                entry = board.ready.get(task)
                assert entry is not None, "a queued task is not in the ready queue"
                lane = entry.lane
                assert not (board.capacity.fits(lane.ask) and board.groups.has_room(lane.group)), "it could run"

    def no_task_is_lost(self) -> None:
        """Left alone, with every process ending well, every task comes to an end."""
        rig = self.rig
        rig.run(rig.scheduler.resume(None))
        for group in ("sweep", "eval"):
            rig.run(rig.scheduler.limit_group(group, None, None))
        rig.settle()
        for _ in range(1000):
            rig.deliver()
            if all(row.state in ENDED for row in rig.rows().values()):
                return
            for key in list(rig.world.running):
                rig.executor.end(key, 0)
            if not rig.executor.outbox:
                due = rig.clock.next_timer()
                assert due is not None, "tasks are left, nothing runs and nothing is to come"
                rig.advance(due - rig.clock.now + 0.001)
        raise AssertionError("the queue never empties")

    def _task(self, pick: int) -> str:
        return sorted(self.before)[pick % len(self.before)]

    def _end(self, pick: int, how: str, task: str | None = None) -> None:
        """The process of `task` ends, or another one if it has none."""
        running = sorted(self.rig.world.running)
        if not running:
            return
        key = self.rig.running().get(task or "", running[pick % len(running)])
        ends: dict[str, dict[str, Any]] = {
            "ok": {"exit_code": 0},
            "fails": {"exit_code": 1},
            "killed": {"signal": 9},
            "lost": {"lost": "the machine lost power"},
        }
        self.rig.executor.end(key, **ends[how])

    def _begun(self, picks: list[int], verbs: list[str], how: str) -> list[Coroutine[Any, Any, None]]:
        """What several people ask for in the same instant, on the same few tasks."""
        work: list[Coroutine[Any, Any, None]] = []
        for number, verb in enumerate(verbs):
            pick = picks[number % len(picks)]
            task = self._task(pick)
            if verb == "cancel":
                work.append(self._cancel(task))
            elif verb == "retry":
                work.append(self._retry(task))
            elif verb == "change":
                work.append(self._change(task, TaskChange(priority=pick % 10 + 1, cpu=pick % 5)))
            elif verb == "submit":
                work.append(self._submit(pick % 5))
            else:
                self._end(pick, how, task)
                work.append(self._deliver())
        return work

    async def _submit(self, cpu: int) -> None:
        request = SubmitTask(job_name="train", command=["true"], cpu=cpu)
        new = NewTask(self.rig.new_id(), self.rig.scheduler.place(), self.rig.clock(), request, ["true"])
        await self.rig.scheduler.submit([new])

    async def _cancel(self, task: str) -> None:
        self.touched.add(task)
        results = await self.rig.scheduler.cancel([task], "bob")
        attempt = await self._attempt(task)
        if results[task] is None and task not in self.revived:
            self.cancelled[task] = attempt

    async def _attempt(self, task: str) -> int:
        return int(await self.rig.fetch(f"SELECT attempt FROM tasks WHERE id = '{task}'"))

    async def _retry(self, task: str) -> None:
        self.touched.add(task)
        waiting = await self._waiting(task)
        results = await self.rig.scheduler.retry([task])
        if results[task] is None:
            self.cancelled.pop(task, None)
            self.revived |= {task, *waiting}

    async def _waiting(self, task: str) -> set[str]:
        """All that waits for a task, directly or through others."""
        found: set[str] = set()
        line = [task]
        while line:
            upon = line.pop()
            sql = f"SELECT json_group_array(task_id) FROM dependencies WHERE on_task_id = '{upon}'"
            more = set(json.loads(await self.rig.fetch(sql))) - found
            found |= more
            line += more
        return found

    async def _change(self, task: str, change: TaskChange) -> None:
        self.touched.add(task)
        try:
            await self.rig.scheduler.change(task, change)
        except (Refused, StoreError):
            return

    async def _deliver(self) -> None:
        self.rig.executor.deliver()

    async def _wake(self) -> None:
        self.rig.scheduler.wake()

    def _seen(self) -> dict[str, Seen]:
        columns = "id, state, attempt, queued_at, priority, seq, cpu, memory_gb, gpu, group_name, not_before"
        seen = {}
        for task, state, attempt, queued_at, priority, seq, *lane, not_before in self.rig.query(
            f"SELECT {columns} FROM tasks"
        ):
            place = ((queued_at or 0) - priority * AGEING_S, seq)
            seen[task] = Seen(state, attempt, place, tuple(lane), not_before)
        return seen
