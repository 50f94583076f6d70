"""Tasks that wait for others: let in when all have completed, skipped when one can't, brought back by its retry.

A task can only name tasks that are there already, so no circle can come about.
"""

from collections.abc import Sequence
from typing import NamedTuple

from engine.protocol.states import ENDED, ErrorCode, TaskState
from engine.scheduler.entries import Queued, queued_task
from engine.scheduler.refusals import Refused
from engine.scheduler.transitions import Fence, move, order_key, stamp
from engine.store import task_writes as sql
from engine.store.writer import Transaction


class Standing(NamedTuple):
    """Where a task stands as to what it waits for: `reason` says why it is skipped or what it waits for."""

    state: TaskState
    reason: str | None = None


class Dependents:
    """`_waited_for` holds at least every task that a blocked one waits for.

    It saves the hot path a query for each task that completes. It belongs to the writer's thread: it is only touched
    inside transactions, in their order. After one that completed tasks was rolled back, `load` must run again.
    """

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._waited_for: set[str] = set()

    def load(self, tx: Transaction) -> None:
        self._waited_for.update(row[0] for row in tx.rows(sql.WAITED_FOR))

    def standing(self, tx: Transaction, after: Sequence[str]) -> Standing:
        """What a new task that waits for `after` is. Raises `Refused` naming an id that does not exist."""
        waiting = 0
        skipped: str | None = None
        for task_id in after:
            rows = tx.rows(sql.TASK, {"id": task_id})
            if not rows:
                raise Refused(
                    ErrorCode.VALIDATION_ERROR, f"there is no task {task_id} to wait for", "after", value=task_id
                )
            state, _, job_name, _, error, *_ = rows[0]
            if state in ENDED and state != TaskState.COMPLETED:
                skipped = skipped or fate(task_id, job_name, state, error)
            elif state != TaskState.COMPLETED:
                waiting += 1
        if skipped is not None:
            return Standing(TaskState.SKIPPED, skipped)
        return Standing(TaskState.BLOCKED if waiting else TaskState.QUEUED)

    def link(self, tx: Transaction, task_id: str, after: Sequence[str]) -> None:
        """Remember what a new task waits for."""
        if after:
            tx.executemany(sql.INSERT_DEPENDENCY, [{"task_id": task_id, "on_task_id": on} for on in after])
            self._waited_for.update(after)

    def completed(self, tx: Transaction, task_id: str) -> list[Queued]:
        """Queue the tasks that waited for this one alone."""
        if task_id not in self._waited_for:
            return []
        self._waited_for.discard(task_id)
        freed = []
        for row in tx.rows(sql.DEPENDENTS, {"id": task_id, "state": TaskState.BLOCKED.value}):
            dependent, _, attempt, _, priority, _ = row
            if not tx.rows(sql.DEPENDS_ON, {"id": dependent}):
                values = {
                    "queued_at": tx.now,
                    "rank_key": order_key(tx.now, priority, self._ageing_s),
                    "reason": None,
                }
                event = {"queued_at": stamp(tx.now), "reason": None}
                move(tx, Fence(dependent, TaskState.BLOCKED, attempt), TaskState.QUEUED, values, event)
                queued = queued_task(tx, dependent)
                freed += [queued] if queued else []
        return freed

    def lost(self, tx: Transaction, task_id: str, what_happened: str) -> None:
        """Skip all that waits for this task, directly or through others. `what_happened` names the task."""
        line = [(task_id, what_happened)]
        while line:
            upon, reason = line.pop()
            for row in tx.rows(sql.DEPENDENTS, {"id": upon, "state": TaskState.BLOCKED.value}):
                dependent, _, attempt, *_ = row
                values = {"ended_at": tx.now, "rank_key": -tx.now, "reason": reason, "error": f"skipped: {reason}"}
                event = {"ended_at": stamp(tx.now), "reason": reason, "error": values["error"]}
                if move(tx, Fence(dependent, TaskState.BLOCKED, attempt), TaskState.SKIPPED, values, event):
                    line.append((dependent, f"task {dependent} was skipped: {what_happened}"))

    def standing_again(self, tx: Transaction, task_id: str) -> Standing:
        """What a task that has ended becomes when it is retried: skipped if what it waits for can't complete."""
        waiting = False
        for on, job_name, state, error, _ in tx.rows(sql.DEPENDS_ON, {"id": task_id}):
            if state in ENDED:
                return Standing(TaskState.SKIPPED, fate(on, job_name, state, error))
            waiting = True
            self._waited_for.add(on)
        return Standing(TaskState.BLOCKED if waiting else TaskState.QUEUED)

    def revived(self, tx: Transaction, task_id: str) -> list[str]:
        """Block again what was skipped because of a task that is retried, directly or through others; their ids.

        One that also waits for another task that failed, was cancelled or stays skipped, stays skipped.
        """
        blocked: list[str] = []
        line = [task_id]
        while line:
            upon = line.pop()
            for row in tx.rows(sql.DEPENDENTS, {"id": upon, "state": TaskState.SKIPPED.value}):
                dependent, _, attempt, _, _, created_at = row
                if self.standing_again(tx, dependent).state is not TaskState.BLOCKED:
                    continue
                values = {"ended_at": None, "rank_key": created_at, "reason": None, "error": None}
                event = {"ended_at": None, "reason": None, "error": None}
                fence = Fence(dependent, TaskState.SKIPPED, attempt)
                if move(tx, fence, TaskState.BLOCKED, values, event, by_retry=True):
                    blocked.append(dependent)
                    line.append(dependent)
        return blocked


def fate(task_id: str, job_name: str, state: str, error: str | None) -> str:
    """What happened to a task that others wait for, naming it."""
    name = f"task {task_id} ({job_name})"
    if state == TaskState.CANCELLED:
        return f"{name} was {error or 'cancelled'}"
    if state == TaskState.SKIPPED:
        return f"{name} was {error or 'skipped'}"
    return f"{name} failed: {error}" if error else f"{name} failed"
