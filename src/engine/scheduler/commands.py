"""What operators ask for, as it is written: each task on its own, refused with the reason where it can't be done."""

from collections.abc import Callable
from typing import NamedTuple

from engine.protocol.states import ENDED, LIVE, ErrorCode, TaskState
from engine.protocol.tasks import TaskChange
from engine.scheduler.capacity import Ask
from engine.scheduler.dependents import Dependents, fate
from engine.scheduler.entries import Queued, queued_task
from engine.scheduler.outcomes import cancelled
from engine.scheduler.refusals import Refused, no_task
from engine.scheduler.transitions import Fence, announce, move, order_key, stamp
from engine.store import task_writes as sql
from engine.store.writer import Transaction


class Standing(NamedTuple):
    """The columns of `TASK`."""

    state: TaskState
    attempt: int
    job_name: str
    cancel_requested_by: str | None
    error: str | None
    reason: str | None
    seq: int
    priority: int
    queued_at: float | None
    created_at: float
    not_before: float | None
    cpu: int
    memory_gb: int
    gpu: int
    group: str | None
    executor: str
    timeout_s: float | None
    max_retries: int

    def fence(self, task_id: str) -> Fence:
        return Fence(task_id, self.state, self.attempt)


class Cancelled(NamedTuple):
    """`by` asked for it; `live` tells that an attempt must be ended before the task is cancelled."""

    task_id: str
    by: str
    live: bool


class Commands:
    """`why_never` judges an ask against the machine."""

    def __init__(self, dependents: Dependents, ageing_s: float, why_never: Callable[[Ask], str | None]) -> None:
        self._dependents = dependents
        self._ageing_s = ageing_s
        self._why_never = why_never

    def cancel(self, tx: Transaction, task_id: str, by: str) -> Cancelled:
        """Cancel what has not started at once; note the wish on what is live. Raises `Refused`."""
        task = self._task(tx, task_id)
        if task.state in LIVE:
            return self._cancel_live(tx, task_id, task, by)
        if task.state is TaskState.CANCELLED:
            return Cancelled(task_id, by, live=False)
        if task.state in ENDED:
            raise Refused(ErrorCode.CONFLICT, f"task {task_id} is {task.state} already; there is nothing to cancel")
        error = cancelled(by, tx.now).error
        values: dict[str, object] = {
            "ended_at": tx.now,
            "rank_key": -tx.now,
            "error": error,
            "reason": None,
            "not_before": None,
            "cancel_requested_by": by,
        }
        event = {"ended_at": stamp(tx.now), "error": error, "reason": None, "not_before": None}
        move(tx, task.fence(task_id), TaskState.CANCELLED, values, event)
        self._dependents.lost(tx, task_id, fate(task_id, task.job_name, TaskState.CANCELLED, error))
        return Cancelled(task_id, by, live=False)

    def retry(self, tx: Transaction, task_id: str, change: TaskChange | None) -> list[Queued]:
        """Queue a task that has ended for a new attempt, with its count of retries at 0; what became ready.

        What was skipped because of it waits for it again. A task that itself waits for one that can't complete is
        refused, naming that one.
        """
        task = self._task(tx, task_id)
        if task.state not in ENDED:
            raise Refused(ErrorCode.CONFLICT, f"task {task_id} is {task.state}; only one that has ended can be retried")
        if change is not None:
            task = self._changed(tx, task_id, task, change)
        standing = self._dependents.standing_again(tx, task_id)
        if standing.state is TaskState.SKIPPED:
            raise Refused(ErrorCode.CONFLICT, f"{standing.reason}; retry that one first")
        ready = standing.state is TaskState.QUEUED
        values: dict[str, object] = {
            "rank_key": order_key(tx.now, task.priority, self._ageing_s) if ready else task.created_at,
            "queued_at": tx.now if ready else None,
            "retry_count": 0,
            "cancel_requested_by": None,
            "gpu_ids": "[]",
            **dict.fromkeys(
                ("not_before", "started_at", "ended_at", "exit_code", "error", "reason", "worker_id"), None
            ),
        }
        event = {
            **{name: value for name, value in values.items() if name not in {"rank_key", "cancel_requested_by"}},
            "queued_at": stamp(tx.now) if ready else None,
            "gpu_ids": [],
        }
        move(tx, task.fence(task_id), standing.state, values, event, by_retry=True)
        self._dependents.revived(tx, task_id)
        queued = queued_task(tx, task_id)
        return [queued] if queued else []

    def change(self, tx: Transaction, task_id: str, change: TaskChange) -> Queued | None:
        """Change a task that has not started; the task if it is queued."""
        task = self._task(tx, task_id)
        if task.state not in {TaskState.BLOCKED, TaskState.QUEUED}:
            raise Refused(
                ErrorCode.CONFLICT, f"task {task_id} is {task.state}; only one that has not started can be changed"
            )
        changed = self._changed(tx, task_id, task, change)
        told = {name: getattr(changed, name) for name in change.model_fields_set}
        announce(tx, task.fence(task_id), task.job_name, told)
        return queued_task(tx, task_id)

    def _cancel_live(self, tx: Transaction, task_id: str, task: Standing, by: str) -> Cancelled:
        if task.cancel_requested_by is not None:
            return Cancelled(task_id, task.cancel_requested_by, live=True)
        reason = f"{by} asked to cancel it; its processes are being ended"
        tx.execute(
            sql.REQUEST_CANCEL,
            {
                "by": by,
                "reason": reason,
                "id": task_id,
                "from_state": task.state.value,
                "attempt": task.attempt,
            },
        )
        announce(tx, task.fence(task_id), task.job_name, {"reason": reason})
        return Cancelled(task_id, by, live=True)

    def _changed(self, tx: Transaction, task_id: str, task: Standing, change: TaskChange) -> Standing:
        given = {name: getattr(change, name) for name in change.model_fields_set}
        # Only a timeout may be taken away; the rest always has a value.
        changed = task._replace(**{n: v for n, v in given.items() if v is not None or n == "timeout_s"})
        ask = Ask(changed.cpu, changed.memory_gb, changed.gpu)
        if ask != (task.cpu, task.memory_gb, task.gpu) and (never := self._why_never(ask)) is not None:
            raise Refused(ErrorCode.VALIDATION_ERROR, never)
        rank_key = changed.created_at
        if changed.queued_at is not None and changed.state is TaskState.QUEUED:
            rank_key = order_key(changed.queued_at, changed.priority, self._ageing_s)
        elif changed.state in ENDED:
            rank_key = -tx.now
        tx.execute(
            sql.CHANGE,
            {
                "priority": changed.priority,
                "cpu": changed.cpu,
                "memory_gb": changed.memory_gb,
                "gpu": changed.gpu,
                "timeout_s": changed.timeout_s,
                "max_retries": changed.max_retries,
                "rank_key": rank_key,
                "id": task_id,
                "from_state": task.state.value,
                "attempt": task.attempt,
            },
        )
        return changed

    @staticmethod
    def _task(tx: Transaction, task_id: str) -> Standing:
        rows = tx.rows(sql.TASK, {"id": task_id})
        if not rows:
            raise no_task(task_id)
        state, *rest = rows[0]
        return Standing(TaskState(state), *rest)
