"""One transaction of the scheduler: what was reported since the last one, and the claims that it makes room for."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from engine.materials.artifacts import Collected
from engine.protocol.states import AttemptOutcome, TaskState
from engine.scheduler import submission
from engine.scheduler.attempt import Finish, Live, from_row
from engine.scheduler.dependents import Dependents, fate
from engine.scheduler.entries import Queued, queued_task
from engine.scheduler.outcomes import cancelled
from engine.scheduler.ready import Pick
from engine.scheduler.retries import MOST_INTERRUPTIONS
from engine.scheduler.submission import NewTask
from engine.scheduler.transitions import Fence, announce, check, ids_text, move, order_key, stamp
from engine.store import task_writes as sql
from engine.store.errors import StoreError
from engine.store.writer import Transaction

NOTES_TOLD = 10
"""Notes about what was left but not kept that a person is shown."""

log = logging.getLogger(__name__)


class Missed(NamedTuple):
    """A claim that lost to a command of an operator, and the task if it is queued still."""

    pick: Pick
    queued: Queued | None


class Spoilt(NamedTuple):
    """What could not be written by a fault of ours: a claim, or news of an attempt."""

    what: Pick | Live
    error: Exception


@dataclass(slots=True)
class Written:
    """What a cycle made true."""

    views: list[dict[str, Any]] = field(default_factory=list)
    queued: list[Queued] = field(default_factory=list)
    claimed: list[Live] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    spoilt: list[Spoilt] = field(default_factory=list)


W = TypeVar("W", Live, Pick)
Write = Callable[[Transaction, W, Written], None]


@dataclass(slots=True)
class Cycle:
    """Made on the loop, written on the writer's thread. It changes no `Live`: a transaction may fail."""

    worker_id: str
    ageing_s: float
    dependents: Dependents
    new: Sequence[NewTask] = ()
    started: Sequence[Live] = ()
    collecting: Sequence[Live] = ()
    finished: Sequence[Live] = ()
    picks: Sequence[Pick] = ()
    reload: bool = False
    apart: bool = False
    """One thing at a time, so that one that can't be written holds up nothing else."""

    def __bool__(self) -> bool:
        return bool(self.picks or self.finished or self.started or self.collecting or self.new)

    def write(self, tx: Transaction) -> Written:
        written = Written()
        if self.reload:
            self.dependents.load(tx)
        if self.new:
            written.views = submission.insert(tx, self.new, self.dependents, self.ageing_s)
        do = self._apart if self.apart else _together
        for live in self.started:
            do(tx, live, written, _start)
        for live in self.collecting:
            do(tx, live, written, _collect)
        for live in self.finished:
            do(tx, live, written, self._finish)
        for pick in self.picks:
            do(tx, pick, written, self._claim)
        return written

    @staticmethod
    def _apart(tx: Transaction, what: W, written: Written, write: Write[W]) -> None:
        part = Written()
        try:
            tx.apart(lambda: write(tx, what, part))
        except StoreError as error:
            if error.fatal:
                raise
            written.spoilt.append(Spoilt(what, error))
        except Exception as error:
            log.exception("%s could not be written", what)
            written.spoilt.append(Spoilt(what, error))
        else:
            written.queued += part.queued
            written.claimed += part.claimed
            written.missed += part.missed

    def _claim(self, tx: Transaction, pick: Pick, written: Written) -> None:
        entry = pick.entry
        ask = entry.lane.ask
        check(TaskState.QUEUED, TaskState.PREPARING)
        gpu_ids = ids_text(pick.gpu_ids)
        rows = tx.rows(
            sql.CLAIM,
            {
                "to_state": TaskState.PREPARING.value,
                "from_state": TaskState.QUEUED.value,
                "worker_id": self.worker_id,
                "gpu_ids": gpu_ids,
                "rank": 0,
                "rank_key": tx.now,
                "id": entry.id,
                "attempt": entry.attempt,
                "cpu": ask.cpu,
                "memory_gb": ask.memory_gb,
                "gpu": ask.gpu,
            },
        )
        if not rows:
            written.missed.append(Missed(pick, queued_task(tx, entry.id)))
            return
        live = from_row(rows[0])
        tx.execute(
            sql.INSERT_ATTEMPT,
            {
                "task_id": entry.id,
                "number": live.attempt,
                "worker_id": self.worker_id,
                "claimed_at": tx.now,
                "gpu_ids": gpu_ids,
            },
        )
        told: dict[str, object] = {"worker_id": self.worker_id, "gpu_ids": pick.gpu_ids}
        if entry.attempt:
            told |= {"reason": None, "error": None, "not_before": None, "started_at": None, "exit_code": None}
        announce(tx, Fence(entry.id, TaskState.PREPARING, live.attempt), live.job_name, told)
        written.claimed.append(live)

    def _finish(self, tx: Transaction, live: Live, written: Written) -> None:
        finish = live.finish
        assert finish is not None  # noqa: S101 - it is what brought the attempt here
        target, refund = _target(tx, live, finish)
        if target is TaskState.QUEUED:
            done = self._requeue(tx, live, finish, written, refund=refund)
        else:
            done = _end(tx, live, target, finish)
        if not done:
            finish = self._lost_to_cancel(tx, live, finish)
            if finish is None:
                return
            target = TaskState.CANCELLED
        tx.execute(sql.END_ATTEMPT, _attempt_end(live, finish))
        if live.collected is not None and live.collected.artifacts:
            _keep(tx, live, live.collected)
        if target is TaskState.COMPLETED:
            written.queued += self.dependents.completed(tx, live.id)
        elif target is not TaskState.QUEUED:
            self.dependents.lost(tx, live.id, fate(live.id, live.job_name, target, finish.error))

    def _requeue(self, tx: Transaction, live: Live, finish: Finish, written: Written, *, refund: bool) -> bool:
        """Queue the task for another attempt: a retry that counts, or one that was interrupted and is given back."""
        row = tx.rows(sql.TASK, {"id": live.id})
        if not row:
            return False
        priority = row[0][7]
        if refund:
            queued_at, not_before, retry_count = live.queued_at, None, live.retry_count
            reason = f"attempt {live.attempt} was {finish.error}; it does not count"
        else:
            queued_at, retry_count = tx.now, live.retry_count + 1
            not_before = tx.now + (finish.retry_after or 0.0)
            reason = f"attempt {live.attempt}: {finish.error}; retry {retry_count} of {live.max_retries}"
        values: dict[str, object] = {
            "queued_at": queued_at,
            "rank_key": order_key(queued_at, priority, self.ageing_s),
            "not_before": not_before,
            "retry_count": retry_count,
            "reason": reason,
            "worker_id": None,
            "gpu_ids": "[]",
            "started_at": None,
        }
        event: dict[str, object] = {
            "queued_at": stamp(queued_at),
            "not_before": None if not_before is None else stamp(not_before),
            "retry_count": retry_count,
            "reason": reason,
            "worker_id": None,
            "gpu_ids": [],
            "started_at": None,
        }
        if not _leave(tx, live, TaskState.QUEUED, values, event, unless_cancelled=True):
            return False
        queued = queued_task(tx, live.id)
        written.queued += [queued] if queued else []
        return True

    def _lost_to_cancel(self, tx: Transaction, live: Live, finish: Finish) -> Finish | None:
        """The end of an attempt whose cancellation was committed just before: the task was promised to be gone."""
        row = tx.rows(sql.TASK, {"id": live.id})
        by = row[0][3] if row else None
        if by is not None:
            end = cancelled(by, finish.at, finish.exit_code, finish.signal)
            if _end(tx, live, TaskState.CANCELLED, end):
                return end
        log.error("task %s attempt %d: the store no longer has it as %s", live.id, live.attempt, live.state)
        return None


def _target(tx: Transaction, live: Live, finish: Finish) -> tuple[TaskState, bool]:
    """The state that follows, and whether the attempt is given back."""
    if finish.outcome is AttemptOutcome.COMPLETED:
        return TaskState.COMPLETED, False
    if finish.outcome is AttemptOutcome.CANCELLED:
        return TaskState.CANCELLED, False
    if finish.outcome is AttemptOutcome.INTERRUPTED:
        before = tx.rows(sql.INTERRUPTED_IN_A_ROW, {"id": live.id})[0][0]
        return (TaskState.QUEUED, True) if before < MOST_INTERRUPTIONS else (TaskState.FAILED, False)
    return (TaskState.FAILED if finish.retry_after is None else TaskState.QUEUED), False


def _together(tx: Transaction, what: W, written: Written, write: Write[W]) -> None:
    write(tx, what, written)


def _start(tx: Transaction, live: Live, _: Written) -> None:
    assert live.started_at is not None  # noqa: S101 - it is what brought the attempt here
    fence = Fence(live.id, live.state, live.attempt)
    if move(tx, fence, TaskState.RUNNING, {"started_at": live.started_at}, {"started_at": stamp(live.started_at)}):
        tx.execute(
            sql.START_ATTEMPT,
            {"task_id": live.id, "number": live.attempt, "started_at": live.started_at, "pid": live.pid},
        )


def _collect(tx: Transaction, live: Live, _: Written) -> None:
    """How it ended is kept with the attempt, so that collecting can be done again by the next engine."""
    assert live.finish is not None  # noqa: S101 - it is what brought the attempt here
    finish = live.finish
    if _leave(tx, live, TaskState.COLLECTING, {"exit_code": finish.exit_code}, {"exit_code": finish.exit_code}):
        tx.execute(sql.END_ATTEMPT, _attempt_end(live, finish))


def _end(tx: Transaction, live: Live, target: TaskState, finish: Finish) -> bool:
    notes = live.collected.notes if live.collected is not None else ()
    reason = "; ".join(notes[:NOTES_TOLD]) or None
    values: dict[str, object] = {
        "ended_at": finish.at,
        "rank_key": -finish.at,
        "exit_code": finish.exit_code,
        "error": finish.error,
        "reason": reason,
    }
    event: dict[str, object] = {"ended_at": stamp(finish.at), "exit_code": finish.exit_code}
    if finish.error is not None or reason is not None:
        event |= {"error": finish.error, "reason": reason}
    return _leave(tx, live, target, values, event, unless_cancelled=target is not TaskState.CANCELLED)


def _leave(
    tx: Transaction,
    live: Live,
    target: TaskState,
    values: dict[str, object],
    event: dict[str, object],
    *,
    unless_cancelled: bool = False,
) -> bool:
    """Move on from what the store has; a start that was reported with the end is written with it."""
    fence = Fence(live.id, live.state, live.attempt)
    started_at = live.started_at
    if live.state is not TaskState.PREPARING or started_at is None:
        return move(tx, fence, target, values, event, unless_cancelled=unless_cancelled)
    if target is not TaskState.QUEUED:
        values["started_at"] = started_at
    told = {"started_at": stamp(started_at)}
    through = TaskState.RUNNING
    return move(tx, fence, target, values, event, through=through, told_through=told, unless_cancelled=unless_cancelled)


def _keep(tx: Transaction, live: Live, collected: Collected) -> None:
    tx.executemany(
        sql.INSERT_ARTIFACT,
        [
            {
                "id": f"{live.id}-{live.attempt}-{number}",
                "task_id": live.id,
                "attempt": live.attempt,
                "path": artifact.path,
                "bytes": artifact.bytes,
                "sha256": artifact.sha256,
                "created_at": tx.now,
            }
            for number, artifact in enumerate(collected.artifacts)
        ],
    )
    told = {
        "attempt": live.attempt,
        "files": len(collected.artifacts),
        "bytes": sum(artifact.bytes for artifact in collected.artifacts),
        "notes": collected.notes[:NOTES_TOLD],
    }
    tx.event("artifact.kept", live.id, told)


def _attempt_end(live: Live, finish: Finish) -> dict[str, object]:
    return {
        "task_id": live.id,
        "number": live.attempt,
        "started_at": live.started_at,
        "pid": live.pid,
        "ended_at": finish.at,
        "outcome": finish.outcome.value,
        "exit_code": finish.exit_code,
        "signal": finish.signal,
        "error": finish.error,
    }
