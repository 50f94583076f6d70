"""New tasks: their rows, and what is told about them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.protocol.states import TaskState
from engine.protocol.tasks import DatasetSpec, SubmitTask
from engine.scheduler.capacity import Ask
from engine.scheduler.dependents import Dependents, Standing
from engine.scheduler.ready import Entry, ReadyQueue
from engine.scheduler.transitions import RANKS, order_key, stamp
from engine.store import task_writes as sql
from engine.store.writer import Transaction

_STATUS = {TaskState.BLOCKED: "queued", TaskState.QUEUED: "queued", TaskState.SKIPPED: "failed"}
_QUEUED = Standing(TaskState.QUEUED)


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that was accepted. `seq` is its place among all tasks, `at` when it came (seconds since the epoch).

    `command`, `snapshot_id` and `dataset_specs` are what `request` comes to: nothing later changes them.
    """

    id: str
    seq: int
    at: float
    request: SubmitTask
    command: Sequence[str]
    snapshot_id: str | None = None
    dataset_specs: Sequence[DatasetSpec] = ()
    user_id: str | None = None
    job_id: str | None = None
    phase: str | None = None

    @property
    def ask(self) -> Ask:
        return Ask(self.request.cpu, self.request.memory_gb, self.request.gpu)


def insert(tx: Transaction, tasks: Sequence[NewTask], dependents: Dependents, ageing_s: float) -> list[dict[str, Any]]:
    """Write the tasks, all or none; each as `TaskView` shows it. Raises `Refused`."""
    views = []
    for task in tasks:
        after = list(dict.fromkeys(task.request.after))
        standing = dependents.standing(tx, after) if after else _QUEUED
        view = _view(task, standing, after)
        tx.execute(sql.INSERT_TASK, _row(task, standing, ageing_s))
        dependents.link(tx, task.id, after)
        tx.event(f"task.{standing.state}", task.id, view)
        views.append(view)
    return views


def entry_of_new(task: NewTask, ready: ReadyQueue, ageing_s: float) -> Entry:
    """The task as the ready queue holds it."""
    request = task.request
    lane = ready.lane(task.ask, request.group, request.executor)
    return Entry(order_key(task.at, request.priority, ageing_s), task.seq, task.id, 0, lane)


def _row(task: NewTask, standing: Standing, ageing_s: float) -> Mapping[str, object]:
    request = task.request
    state = standing.state
    ended = state is TaskState.SKIPPED
    if state is TaskState.QUEUED:
        rank_key = order_key(task.at, request.priority, ageing_s)
    else:
        rank_key = -task.at if ended else task.at
    return {
        "seq": task.seq,
        "id": task.id,
        "job_name": request.job_name,
        "state": state.value,
        "rank": RANKS[state],
        "rank_key": rank_key,
        "priority": request.priority,
        "executor": request.executor.value,
        "command": json.dumps(task.command),
        "args": request.args,
        "cwd": request.cwd,
        "env": _text(request.env),
        "image": request.image,
        "group_name": request.group,
        "cpu": request.cpu,
        "memory_gb": request.memory_gb,
        "gpu": request.gpu,
        "snapshot_id": task.snapshot_id,
        "datasets": json.dumps(request.datasets) if request.datasets else "[]",
        "dataset_specs": json.dumps([spec.model_dump(mode="json") for spec in task.dataset_specs])
        if task.dataset_specs
        else "[]",
        "metadata": _text(request.metadata),
        "timeout_s": request.timeout_s,
        "max_retries": request.max_retries,
        "created_at": task.at,
        "queued_at": task.at if state is TaskState.QUEUED else None,
        "ended_at": task.at if ended else None,
        "error": f"skipped: {standing.reason}" if ended else None,
        "reason": standing.reason,
        "user_id": task.user_id,
        "job_id": task.job_id,
        "phase": task.phase,
    }


def _text(mapping: Mapping[str, str]) -> str:
    return json.dumps(mapping) if mapping else "{}"


def _view(task: NewTask, standing: Standing, after: list[str]) -> dict[str, Any]:
    """All of `TaskView` that is not at its default, as JSON values."""
    request = task.request
    state = standing.state
    at = stamp(task.at)
    ended = state is TaskState.SKIPPED
    return {
        "id": task.id,
        "job_name": request.job_name,
        "status": _STATUS[state],
        "state": state.value,
        "attempt": 0,
        "priority": request.priority,
        "created_at": at,
        "queued_at": at if state is TaskState.QUEUED else None,
        "started_at": None,
        "ended_at": at if ended else None,
        "error": f"skipped: {standing.reason}" if ended else None,
        "reason": standing.reason,
        "snapshot_id": task.snapshot_id,
        "datasets": request.datasets,
        "cpu": request.cpu,
        "memory_gb": request.memory_gb,
        "gpu": request.gpu,
        "user_id": task.user_id,
        "retry_count": 0,
        "max_retries": request.max_retries,
        "command": task.command,
        "args": request.args,
        "cwd": request.cwd,
        "executor": request.executor.value,
        "image": request.image,
        "group": request.group,
        "after": after,
        "timeout_s": request.timeout_s,
        "metadata": request.metadata,
        "job_id": task.job_id,
        "phase": task.phase,
    }
