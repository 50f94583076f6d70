"""The one table of legal moves of a task, and the only way to make one.

Every move is fenced by id, state and attempt: a report or a command that comes too late changes nothing.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from engine.protocol.states import ENDED, LIVE, TaskState
from engine.store import task_writes as sql
from engine.store.writer import Transaction

LEGAL: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.BLOCKED: frozenset({TaskState.QUEUED, TaskState.SKIPPED, TaskState.CANCELLED}),
    TaskState.QUEUED: frozenset({TaskState.PREPARING, TaskState.CANCELLED}),
    TaskState.PREPARING: frozenset({TaskState.RUNNING, TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset(
        {
            TaskState.COLLECTING,
            TaskState.WAITING,
            TaskState.QUEUED,
            TaskState.COMPLETED,
            TaskState.FAILED,
            TaskState.CANCELLED,
        }
    ),
    TaskState.COLLECTING: frozenset({TaskState.QUEUED, TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.WAITING: frozenset({TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
    TaskState.SKIPPED: frozenset(),
}
"""Where a task may go by itself or by a cancel."""

LEGAL_BY_RETRY: Mapping[TaskState, frozenset[TaskState]] = {
    state: frozenset({TaskState.QUEUED, TaskState.BLOCKED}) for state in ENDED
}
"""Where an operator's retry may take a task that has ended; its next claim is a new attempt."""

RANKS: Mapping[TaskState, int] = {
    **dict.fromkeys(LIVE, 0),
    TaskState.WAITING: 1,
    TaskState.QUEUED: 2,
    TaskState.BLOCKED: 3,
    **dict.fromkeys(ENDED, 4),
}
"""The order in which an operator reads the queue."""


class IllegalMove(Exception):
    """The engine tried a move that the table does not have. A fault of ours, never of a person."""


class Fence(NamedTuple):
    """What a task must still be for a move to count."""

    id: str
    state: TaskState
    attempt: int


def move(
    tx: Transaction,
    fence: Fence,
    target: TaskState,
    values: Mapping[str, object],
    event: Mapping[str, object],
    *,
    through: TaskState | None = None,
    told_through: Mapping[str, object] | None = None,
    unless_cancelled: bool = False,
    by_retry: bool = False,
) -> bool:
    """Move a task; False when it is no longer what the fence says.

    `values` are the columns to set beside `state` and `rank`; `event` what subscribers hear beside state, attempt
    and name. `through` names a state that the task met on the way, when both moves became known together;
    `told_through` is what subscribers hear of it.
    `unless_cancelled` also misses a task whose cancellation was asked for.
    """
    check(fence.state, target, through=through, by_retry=by_retry)
    columns = {**values, "rank": RANKS[target]}
    found = tx.rows(
        sql.move_sql(tuple(columns), unless_cancelled),
        {
            **columns,
            "to_state": target.value,
            "id": fence.id,
            "from_state": fence.state.value,
            "attempt": fence.attempt,
        },
    )
    if not found:
        return False
    if through is not None:
        announce(tx, fence._replace(state=through), found[0][0], told_through or {})
    announce(tx, fence._replace(state=target), found[0][0], event)
    return True


def check(source: TaskState, target: TaskState, *, through: TaskState | None = None, by_retry: bool = False) -> None:
    """Raise `IllegalMove` unless the table has the move (each step of it)."""
    table = LEGAL_BY_RETRY if by_retry else LEGAL
    steps = ((source, target),) if through is None else ((source, through), (through, target))
    for start, end in steps:
        if end not in table.get(start, frozenset()):
            raise IllegalMove(f"a task cannot go from {start} to {end}")


def announce(tx: Transaction, now: Fence, job_name: str, data: Mapping[str, object]) -> None:
    """Tell what a task is `now`, and what else has changed."""
    told = {"state": now.state.value, "attempt": now.attempt, "job_name": job_name, **data}
    tx.event(f"task.{now.state}", now.id, told)


def order_key(queued_at: float, priority: int, ageing_s: float) -> float:
    """A task's place in the ready order: lower is sooner. Each `ageing_s` of waiting is worth one step of priority."""
    return queued_at - priority * ageing_s


def stamp(at: float) -> str:
    """A time as events carry it (RFC 3339, UTC)."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def ids_text(ids: tuple[int, ...]) -> str:
    """GPU ids as the store keeps them."""
    return json.dumps(ids) if ids else "[]"
