"""A queued task as the store has it."""

from typing import Any, NamedTuple

from engine.scheduler.capacity import Ask
from engine.scheduler.ready import Entry, ReadyQueue
from engine.scheduler.transitions import order_key
from engine.store import task_writes as sql
from engine.store.writer import Transaction


class Queued(NamedTuple):
    """The columns of `QUEUED`."""

    seq: int
    id: str
    attempt: int
    priority: int
    queued_at: float
    not_before: float | None
    cpu: int
    memory_gb: int
    gpu: int
    group: str | None
    executor: str


def queued_task(tx: Transaction, task_id: str) -> Queued | None:
    """The task if it is queued."""
    rows = tx.rows(sql.QUEUED_ONE, {"id": task_id})
    return Queued._make(rows[0]) if rows else None


def entry_of(queued: Queued | tuple[Any, ...], ready: ReadyQueue, ageing_s: float) -> Entry:
    """A queued task as the ready queue holds it."""
    seq, task_id, attempt, priority, queued_at, _, cpu, memory_gb, gpu, group, executor = queued
    lane = ready.lane(Ask(cpu, memory_gb, gpu), group, executor)
    return Entry(order_key(queued_at, priority, ageing_s), seq, task_id, attempt, lane)
