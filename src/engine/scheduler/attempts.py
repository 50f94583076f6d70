"""Live attempts from their claim to their end: prepared, launched, watched, collected, closed."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from engine.executors.base import AttemptKey, Ended, Executor, Launch, Report, Started
from engine.materials.errors import MaterialError
from engine.protocol.states import AttemptOutcome, TaskState
from engine.scheduler.attempt import Finish, Live
from engine.scheduler.board import Board
from engine.scheduler.folders import AttemptFolders
from engine.scheduler.launching import Launcher, Materials, Prepared
from engine.scheduler.outcomes import Judge, cancelled
from engine.scheduler.times import Times

STARTED_WAITS_S = 0.005
"""A start waits this long to be written together with what comes next: a short task's end, most of the time."""

_COLLECTED = frozenset({AttemptOutcome.COMPLETED, AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT})

SPOILT = "how it ended could not be written; the engine's log says why"

log = logging.getLogger(__name__)


class News(NamedTuple):
    """What must be written."""

    started: list[Live]
    collecting: list[Live]
    finished: list[Live]


class Attempts:
    """`changed` is called when something must be written that no executor reported, `no_room` for a full disk.

    Deadlines and what is asked with `now` are on the steady clock.
    """

    def __init__(
        self,
        board: Board,
        executors: Mapping[str, Executor],
        materials: Materials,
        *,
        folders: AttemptFolders,
        launcher: Launcher,
        judge: Judge,
        grace_s: float,
        times: Times,
        changed: Callable[[], None],
        no_room: Callable[[], None],
    ) -> None:
        self._board = board
        self._executors = executors
        self._materials = materials
        self._folders = folders
        self._launcher = launcher
        self._judge = judge
        self._grace_s = grace_s
        self._times = times
        self._clock = times.wall
        self._changed = changed
        self._no_room = no_room
        self._news = News([], [], [])
        self.flush_at: float | None = None
        """When fresh starts are written whether or not more has come."""
        self._deadlines: list[tuple[float, AttemptKey]] = []
        self._chores: set[asyncio.Task[None]] = set()

    def claimed(self, lives: Sequence[Live]) -> None:
        """Start attempts whose claim is on disk; those that need something first get it."""
        launches: defaultdict[str, list[Launch]] = defaultdict(list)
        for live in lives:
            self._board.live[live.id] = live
            if self._materials.needs_preparation(live):
                live.work = self._chore(self._prepare(live), live)
            else:
                launches[live.executor].append(self._launcher.launch(live))
                live.launched = True
        for name, batch in launches.items():
            self._executors[name].launch(batch)

    def resume(self, live: Live, *, known: bool) -> None:
        """Take over an attempt from the engine before. `known` tells that its executor runs it or has its end."""
        live.launched = known
        if live.state is TaskState.COLLECTING:
            finish = live.finish
            if finish is not None and finish.outcome in {AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT}:
                live.finish = replace(finish, retry_after=self._judge.retry_after(live))
            self._begin_collecting(live)
        elif known:
            self._watch_time(live)
            if live.cancelled_by is not None:
                self._executors[live.executor].cancel(live.key, self._grace_s)
        elif live.cancelled_by is not None:
            self._close(live, cancelled(live.cancelled_by, self._clock()))
        elif live.state is TaskState.PREPARING and live.executor in self._executors:
            self._folders.make(live.key)
            self.claimed([live])
        else:
            lost = f"after the engine's restart nothing is known of it on executor {live.executor}"
            self._close(live, self._judge.ended(live, Ended(live.key, self._clock(), lost=lost)))

    def report(self, executor: str, report: Report) -> None:
        """What an executor says of an attempt. What is about no live attempt comes too late and changes nothing."""
        live = self._board.live.get(report.key.task_id)
        if live is None or live.key != report.key:
            if isinstance(report, Ended):
                self._executors[executor].forget([report.key])
            return
        live.launched = True
        if live.finish is not None or live.ended is not None:
            return
        if isinstance(report, Started):
            if live.started_at is None:
                live.started_at, live.pid = report.at, report.pid
                self._watch_time(live)
                if self.flush_at is None:
                    self.flush_at = self._times.steady() + STARTED_WAITS_S
                self._news.started.append(live)
            return
        live.ended = report
        if report.no_room:
            self._no_room()
        if live.started_at is None and (report.exit_code is not None or report.signal is not None):
            live.started_at = report.at
        finish = self._judge.ended(live, report)
        if finish.outcome in _COLLECTED and not report.refused and self._folders.left_something(live.key):
            live.finish = finish
            self._news.collecting.append(live)
        else:
            self._close(live, finish)

    def cancel(self, task_id: str, by: str) -> None:
        """End a live attempt whose cancellation is on disk. One that is about to be written loses to it there."""
        live = self._board.live.get(task_id)
        if live is None or live.cancelled_by is not None:
            return
        live.cancelled_by = by
        if live.work is not None:
            live.work.cancel()
        elif live.launched and live.ended is None:
            self._executors[live.executor].cancel(live.key, self._grace_s)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        while self._deadlines and not self._is_live(self._deadlines[0][1]):
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def tick(self, now: float) -> None:
        """End the attempts whose time is up."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heappop(self._deadlines)
            if not self._is_live(key) or (live := self._board.live[key.task_id]).timed_out:
                continue
            live.timed_out = True
            if live.cancelled_by is None:
                self._executors[live.executor].cancel(key, self._grace_s)

    def take(self, now: float, *, all_of_it: bool = False) -> News:
        """Hand over what must be written; fresh starts only when they have waited long enough."""
        started, collecting, finished = self._news
        leaving = {id(live) for live in (*collecting, *finished)}
        fresh = [live for live in started if id(live) not in leaving and live.state is TaskState.PREPARING]
        if fresh and not all_of_it and self.flush_at is not None and now < self.flush_at:
            self._news = News(fresh, [], [])
            return News([], collecting, finished)
        self._news = News([], [], [])
        self.flush_at = None
        return News(fresh, collecting, finished)

    def put_back(self, news: News) -> None:
        """They were not written after all."""
        now = self._news
        self._news = News(news.started + now.started, news.collecting + now.collecting, news.finished + now.finished)
        if self._news.started and self.flush_at is None:
            self.flush_at = self._times.steady()

    def written(self, news: News, spoilt: Sequence[object] = ()) -> None:
        """They are on disk, save for what could not be written by a fault of ours."""
        if spoilt:
            news = self._without(news, {id(what) for what in spoilt})
        for live in news.started:
            live.state = TaskState.RUNNING
        for live in news.collecting:
            live.state = TaskState.COLLECTING
            self._begin_collecting(live)
        over: defaultdict[str, list[AttemptKey]] = defaultdict(list)
        for live in news.finished:
            del self._board.live[live.id]
            self._folders.recycle(live.key)
            if live.launched:
                over[live.executor].append(live.key)
            if self._materials.needs_preparation(live):
                self._chore(self._materials.release(live.id, live.attempt))
        for name, keys in over.items():
            self._executors[name].forget(keys)

    def _without(self, news: News, spoilt: set[int]) -> News:
        """What is left; the others' ends are written as failed, or not at all when that was just tried."""
        for live in (*news.collecting, *news.finished):
            if id(live) in spoilt:
                self._spoil(live, closed=live in news.finished)
        return News(*([live for live in part if id(live) not in spoilt] for part in news))

    def _spoil(self, live: Live, *, closed: bool) -> None:
        finish = live.finish
        assert finish is not None  # noqa: S101 - it is what could not be written
        if finish.error == SPOILT:
            log.error("task %s attempt %d is left as the store has it until the next start", live.id, live.attempt)
            self._board.live.pop(live.id, None)
            return
        live.collected = None
        failed = replace(finish, outcome=AttemptOutcome.FAILED, error=SPOILT, retry_after=None)
        if closed:
            live.finish = failed
            self._news.finished.append(live)
        else:
            self._close(live, failed)

    async def stop(self) -> None:
        """Leave what runs; preparing and collecting are cut short for the next engine to do again."""
        for chore in list(self._chores):
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def _prepare(self, live: Live) -> None:
        try:
            prepared: Prepared = await self._materials.prepare(live, live.attempt)
        except MaterialError as error:
            self._broken(live, str(error), final=True)
        except Exception:
            log.exception("task %s: preparing failed", live.id)
            self._broken(live, "preparing failed inside the engine; its log says why", final=False)
        else:
            live.work = None
            live.launched = True
            self._executors[live.executor].launch([self._launcher.launch(live, prepared)])

    def _begin_collecting(self, live: Live) -> None:
        if live.cancelled_by is not None:
            self._close(live, cancelled(live.cancelled_by, self._clock()))
        else:
            live.work = self._chore(self._collect(live), live)

    async def _collect(self, live: Live) -> None:
        finish = live.finish
        assert finish is not None  # noqa: S101 - it is what brought the attempt here
        try:
            live.collected = await self._materials.collect(live.id, live.attempt)
        except MaterialError as error:
            finish = _spoilt(finish, f"collecting failed: {error}")
        except Exception:
            log.exception("task %s: collecting failed", live.id)
            finish = _spoilt(finish, "collecting failed inside the engine; its log says why")
        live.work = None
        self._close(live, finish)
        self._changed()

    def _cut_short(self, live: Live) -> None:
        """Preparing or collecting was cancelled: by an operator, or because the engine stops."""
        live.work = None
        if live.cancelled_by is not None and not self._board.leaving:
            self._close(live, cancelled(live.cancelled_by, self._clock()))
            self._changed()

    def _broken(self, live: Live, error: str, *, final: bool) -> None:
        live.work = None
        self._close(live, self._judge.broken(live, self._clock(), error, final=final))
        self._changed()

    def _close(self, live: Live, finish: Finish) -> None:
        """The attempt holds nothing any more; what became of it is to be written."""
        live.finish = finish
        self._news.finished.append(live)
        self._board.release(live.id, live.group)

    def _watch_time(self, live: Live) -> None:
        if live.timeout_s is not None and live.started_at is not None:
            heappush(self._deadlines, (self._times.steadily(live.started_at) + live.timeout_s, live.key))
            if len(self._deadlines) > 2 * len(self._board.live) + 64:
                self._deadlines = [one for one in self._deadlines if self._is_live(one[1])]
                heapify(self._deadlines)

    def _is_live(self, key: AttemptKey) -> bool:
        live = self._board.live.get(key.task_id)
        return live is not None and live.key == key and live.ended is None

    def _chore(self, work: Coroutine[Any, Any, None], live: Live | None = None) -> asyncio.Task[None]:
        def done(chore: asyncio.Task[None]) -> None:
            self._chores.discard(chore)
            if chore.cancelled() and live is not None:
                self._cut_short(live)

        chore = asyncio.get_running_loop().create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(done)
        return chore


def _spoilt(finish: Finish, error: str) -> Finish:
    """What a task left could not be kept: one that had completed fails for it."""
    if finish.outcome is not AttemptOutcome.COMPLETED:
        return finish
    return replace(finish, outcome=AttemptOutcome.FAILED, error=error)
