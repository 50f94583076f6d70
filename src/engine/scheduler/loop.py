"""The scheduler: decides on the event loop, writes in one transaction a cycle, then starts what was claimed.

One cycle is in flight at a time. It holds all that was reported since the last one and the claims that this makes
room for, so that the end of one attempt and the claim of the next share one commit. The store decides: a claim that
lost to an operator's command is undone, and a cycle that could not be written is written again.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Literal

from engine.executors.base import AttemptKey, Executor, Report
from engine.protocol.states import TaskState
from engine.protocol.tasks import TaskChange
from engine.scheduler import recovery, switches
from engine.scheduler.alarm import Alarm, CallLater
from engine.scheduler.answers import answer, each, log_failure
from engine.scheduler.attempts import Attempts, News
from engine.scheduler.board import Board
from engine.scheduler.capacity import Capacity
from engine.scheduler.commands import Cancelled, Commands
from engine.scheduler.cycle import Cycle, Spoilt, Written
from engine.scheduler.dependents import Dependents
from engine.scheduler.diskroom import DiskRoom, free_on
from engine.scheduler.entries import Queued, entry_of
from engine.scheduler.explain import explain
from engine.scheduler.folders import AttemptFolders, Background
from engine.scheduler.launching import Launcher, Materials
from engine.scheduler.outcomes import Judge
from engine.scheduler.ready import Pick, ReadyQueue
from engine.scheduler.refusals import Refused
from engine.scheduler.reservation import Reservation
from engine.scheduler.submission import NewTask, entry_of_new, insert
from engine.scheduler.times import Times, steady
from engine.settings import Home, Settings
from engine.store.errors import StoreError
from engine.store.writer import Transaction, Writer

WRITE_AGAIN_S = 1.0
"""After a cycle that could not be written (disk full, database locked)."""
LOOK_AGAIN_S = 5.0
"""While the disk is nearly full and something waits for room on it."""

FAULT = "the engine: it could not be started, and the engine's log says why"

Views = list[dict[str, Any]]

log = logging.getLogger(__name__)


class Scheduler:
    """Moves tasks. `worker_id` is what leases carry; `executors` are by name; it waits by the `steady` clock."""

    def __init__(
        self,
        writer: Writer,
        capacity: Capacity,
        executors: Mapping[str, Executor],
        materials: Materials,
        *,
        settings: Settings,
        home: Home,
        worker_id: str,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
        random: Random | None = None,
        call_later: CallLater | None = None,
        free_mb: Callable[[], int] | None = None,
        background: Background | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.executors = dict(executors)
        self._writer = writer
        self._settings = settings
        self._materials = materials
        self._times = Times(clock, steady)
        self._room = DiskRoom(free_mb or partial(free_on, home.root), settings.disk_reserve_mb)
        self._ageing_s = settings.ageing_s
        self._dependents = Dependents(self._ageing_s)
        ready = ReadyQueue(executors, Reservation(settings.reserve_after_s))
        self.board = Board(capacity, ready, self._dependents)
        self._folders = AttemptFolders(home, background)
        self._attempts = Attempts(
            self.board,
            self.executors,
            materials,
            folders=self._folders,
            launcher=Launcher(home, bool(capacity.machine.gpu_ids), os.environ),
            judge=Judge(settings, random or Random()),  # noqa: S311 - it spreads retries
            grace_s=settings.cancel_grace_s,
            times=self._times,
            changed=self.wake,
            no_room=self._full,
        )
        self._commands = Commands(self._dependents, self._ageing_s, capacity.why_never)
        self._alarm = Alarm(
            steady, call_later or (lambda *args: asyncio.get_running_loop().call_later(*args)), self.wake
        )
        self._writing: Cycle | None = None
        self._write_again_at: float | None = None
        self._reload = False
        self._apart = False
        self._started = False
        self._flush = False
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Take over what the store and the executors hold, then begin to schedule."""
        found = await self._writer.run(self._read)
        recovery.fill(self.board, found, self._ageing_s, self._times)
        expected: defaultdict[str, list[AttemptKey]] = defaultdict(list)
        for live in found.live:
            expected[live.executor].append(live.key)
        await self._materials.open([live.key for live in found.live])
        self._folders.open()
        known: set[AttemptKey] = set()
        for name, executor in self.executors.items():
            await executor.open(partial(self._reported, name))
            known |= await executor.adopt(expected[name])
        for live in found.live:
            if live.ended is None:
                self._attempts.resume(live, known=live.key in known)
        self._started = True
        self.wake()

    def hold(self) -> None:
        """Start nothing further; what runs goes on."""
        self.board.stopping = True

    async def stop(self, mode: Literal["leave", "drain"] = "leave") -> None:
        """Start nothing further. `drain` waits for what runs, up to `drain_s`; then what runs is left running."""
        self.hold()
        if mode == "drain":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained(), self._settings.drain_s)
        self.board.leaving = True
        await self._attempts.stop()
        self._flush = True
        self.wake()
        while self._writing is not None:
            await self._turn()
        self._started = False
        self._alarm.stop()
        self._folders.close()
        for executor in self.executors.values():
            await executor.close()

    @property
    def writing(self) -> bool:
        """Whether a cycle is on its way to the disk."""
        return self._writing is not None

    def wake(self) -> None:
        """Look at everything that may be due, and write and start what can be."""
        if not self._started:
            return
        now = self._times.steady()
        self._attempts.tick(now)
        self.board.ready.ripen(now)
        if self._write_again_at is not None and self._write_again_at <= now:
            self._write_again_at = None
        if self._writing is None and self._write_again_at is None:
            cycle, news = self._compose(now)
            if cycle:
                self._hand_in(cycle, news, None)
        self._arm()

    async def submit(self, tasks: Sequence[NewTask]) -> Views:
        """Write new tasks, all or none; each as `TaskView` shows it. Raises `Refused`, `StoreError`.

        When no cycle is in flight their claims go into the same transaction.
        """
        future: asyncio.Future[Views] = asyncio.get_running_loop().create_future()
        now = self._times.steady()
        plain = not any(task.request.after for task in tasks)
        if plain and self._started and self._writing is None and self._write_again_at is None:
            for task in tasks:
                self.board.ready.add(entry_of_new(task, self.board.ready, self._ageing_s))
            cycle, news = self._compose(now, tasks)
            self._hand_in(cycle, news, future)
        else:
            work = partial(insert, tasks=tasks, dependents=self._dependents, ageing_s=self._ageing_s)
            self._writer.submit(work, partial(self._inserted, tasks, future))
        return await future

    def place(self) -> int:
        """The place of the next new task among all tasks."""
        self.board.newest += 1
        return self.board.newest

    async def cancel(self, task_ids: Sequence[str], by: str) -> dict[str, Refused | None]:
        """Cancel tasks in one transaction: each done (None) or refused.

        What has not started is cancelled when this returns. What is live is being ended and can only end as
        cancelled.
        """
        future: asyncio.Future[dict[str, Refused | None]] = asyncio.get_running_loop().create_future()

        def done(results: dict[str, Cancelled | Refused] | None, error: BaseException | None) -> None:
            for task_id, result in (results or {}).items():
                if isinstance(result, Cancelled):
                    self.board.ready.remove(task_id)
                    if result.live:
                        self._attempts.cancel(task_id, result.by)
            self.wake()
            answer(future, {i: r if isinstance(r, Refused) else None for i, r in (results or {}).items()}, error)

        self._writer.submit(lambda tx: each(task_ids, lambda i: self._commands.cancel(tx, i, by)), done)
        return await future

    async def retry(self, task_ids: Sequence[str], change: TaskChange | None = None) -> dict[str, Refused | None]:
        """Queue tasks that have ended for another attempt, in one transaction: each done (None) or refused."""
        future: asyncio.Future[dict[str, Refused | None]] = asyncio.get_running_loop().create_future()

        def done(results: dict[str, list[Queued] | Refused] | None, error: BaseException | None) -> None:
            for result in (results or {}).values():
                if not isinstance(result, Refused):
                    self._enqueue(result)
            self.wake()
            answer(future, {i: r if isinstance(r, Refused) else None for i, r in (results or {}).items()}, error)

        self._writer.submit(lambda tx: each(task_ids, lambda i: self._commands.retry(tx, i, change)), done)
        return await future

    async def change(self, task_id: str, change: TaskChange) -> None:
        """Change a task that has not started. Raises `Refused`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(queued: Queued | None, error: BaseException | None) -> None:
            # One that is not in the ready queue is being claimed: that claim loses and reads the task again.
            if queued is not None and self.board.ready.remove(task_id) is not None:
                self._enqueue([queued])
            self.wake()
            answer(future, None, error)

        self._writer.submit(lambda tx: self._commands.change(tx, task_id, change), done)
        await future

    async def pause(self, reason: str | None, by: str | None) -> None:
        """Start nothing further until `resume`, also after a restart. What runs goes on."""
        self.board.pause = await self._writer.run(partial(switches.pause, reason=reason, by=by))

    async def resume(self, by: str | None) -> None:
        await self._writer.run(partial(switches.resume, by=by))
        self.board.pause = None
        self.wake()

    async def limit_group(self, name: str, limit: int | None, by: str | None) -> None:
        """Let at most `limit` tasks of a group be live at once; None lifts the limit. Kept over restarts."""
        limits = await self._writer.run(partial(switches.limit_group, name=name, limit=limit, by=by))
        self.board.groups.set_limits(limits)
        self.wake()

    def explain(self, task_id: str) -> str | None:
        """Why a queued task waits; None for one that does not."""
        return explain(self.board, task_id, self._times.steady())

    def _read(self, tx: Transaction) -> recovery.Found:
        self._dependents.load(tx)
        return recovery.read(tx)

    def _reported(self, executor: str, reports: Sequence[Report]) -> None:
        for report in reports:
            self._attempts.report(executor, report)
        self.wake()

    def _compose(self, now: float, new: Sequence[NewTask] = ()) -> tuple[Cycle, News]:
        news = self._attempts.take(now, all_of_it=self._flush)
        board = self.board
        picks = board.ready.pick(board.capacity, board.groups, now) if self._may_start(now) else []
        picks = self._with_folders(picks)
        cycle = Cycle(self.worker_id, self._ageing_s, self._dependents, new, *news, picks, self._reload, self._apart)
        return cycle, news

    def _with_folders(self, picks: list[Pick]) -> list[Pick]:
        """Make the folders of what is to start; what gets none waits, as while the disk is nearly full.

        Before the commit, not beside it: a folder made while the disk flushes waits for the flush.
        """
        for at, pick in enumerate(picks):
            try:
                self._folders.make(AttemptKey(pick.entry.id, pick.entry.attempt + 1))
            except OSError as error:
                log.error("no folder can be made for an attempt, nothing is started: %s", error.strerror)  # noqa: TRY400
                self._full()
                for left in picks[at:]:
                    self.board.give_back(left.entry)
                    self.board.ready.add(left.entry)
                return picks[:at]
        return picks

    def _hand_in(self, cycle: Cycle, news: News, future: asyncio.Future[Views] | None) -> None:
        self._writing = cycle
        written = partial(self._written, cycle, news, future)
        try:
            self._writer.submit(cycle.write, written)
        except StoreError as error:
            written(None, error)

    def _written(
        self,
        cycle: Cycle,
        news: News,
        future: asyncio.Future[Views] | None,
        written: Written | None,
        error: BaseException | None,
    ) -> None:
        self._writing = None
        try:
            if written is None:
                self._undo(cycle, news, error)
            else:
                self._apply(written, news)
                self._part_with(written.spoilt)
        finally:  # whatever goes wrong here, nobody waits for it without end
            self._settled.set()
            if future is not None:
                answer(future, written.views if written is not None else [], error)
            self.wake()

    def _apply(self, written: Written, news: News) -> None:
        """It is on disk."""
        self._write_again_at = None
        self._reload = bool(written.spoilt)
        self._apart = False
        self._attempts.written(news, [spoilt.what for spoilt in written.spoilt])
        self._enqueue(written.queued)
        for missed in written.missed:
            self.board.give_back(missed.pick.entry)
            if missed.queued is not None:
                self._enqueue([missed.queued])
        self._attempts.claimed(written.claimed)

    def _part_with(self, spoilt: Sequence[Spoilt]) -> None:
        """A task that can't even be claimed would hold up all behind it: it is cancelled."""
        for what, _ in spoilt:
            if isinstance(what, Pick):
                self.board.give_back(what.entry)
                self._writer.submit(partial(self._commands.cancel, task_id=what.entry.id, by=FAULT), log_failure)

    def _undo(self, cycle: Cycle, news: News, error: BaseException | None) -> None:
        log.error("%d claims and %d ends were not written: %s", len(cycle.picks), len(news.finished), error)
        self._reload = True
        self._attempts.put_back(news)
        for pick in cycle.picks:
            self.board.give_back(pick.entry)
            self.board.ready.add(pick.entry)
        for task in cycle.new:
            self.board.ready.remove(task.id)
        # One of them may be what can't be written: the rest is tried once more at once, one thing at a time.
        fault = not (isinstance(error, StoreError) and error.fatal) and not cycle.apart
        self._apart = self._apart or fault
        self._write_again_at = self._times.steady() + (0.0 if cycle.new or fault else WRITE_AGAIN_S)

    def _inserted(
        self, tasks: Sequence[NewTask], future: asyncio.Future[Views], views: Views | None, error: BaseException | None
    ) -> None:
        for task, view in zip(tasks, views or (), strict=False):
            if view["state"] == TaskState.QUEUED:
                self.board.ready.add(entry_of_new(task, self.board.ready, self._ageing_s))
        self.wake()
        answer(future, views or [], error)

    def _enqueue(self, queued: Sequence[Queued]) -> None:
        for task in queued:
            later = None if task.not_before is None else self._times.steadily(task.not_before)
            self.board.ready.add(entry_of(task, self.board.ready, self._ageing_s), later)

    def _full(self) -> None:
        self.board.disk_free_mb = self._room.full(self._times.steady())

    def _may_start(self, now: float) -> bool:
        board = self.board
        if board.stopping or board.pause is not None or not len(board.ready):
            return False
        board.disk_free_mb = self._room.short_of(now)
        return board.disk_free_mb is None

    def _arm(self) -> None:
        """Set the alarm to what is to come. What is due already waits for the cycle in flight, whose end wakes us."""
        board = self.board
        due = [self._attempts.next_deadline(), board.ready.next_due()]
        if self._write_again_at is not None:
            due.append(self._write_again_at)
        elif self._writing is None:
            due.append(self._attempts.flush_at)
            if board.disk_free_mb is not None and len(board.ready) and not board.stopping:
                due.append(self._times.steady() + LOOK_AGAIN_S)
        self._alarm.set(min((at for at in due if at is not None), default=None))

    async def _drained(self) -> None:
        while self.board.live or self._writing is not None:
            await self._turn()

    async def _turn(self) -> None:
        self._settled.clear()
        await self._settled.wait()
