"""How states and times read outside the store."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from engine.protocol.states import TaskState, WorkerStatus

WORKER_STATUS: Mapping[str, WorkerStatus] = MappingProxyType(
    {
        TaskState.BLOCKED: WorkerStatus.QUEUED,
        TaskState.QUEUED: WorkerStatus.QUEUED,
        TaskState.WAITING: WorkerStatus.QUEUED,
        TaskState.PREPARING: WorkerStatus.PREPARING,
        TaskState.RUNNING: WorkerStatus.RUNNING,
        TaskState.COLLECTING: WorkerStatus.COLLECTING,
        TaskState.COMPLETED: WorkerStatus.COMPLETED,
        TaskState.FAILED: WorkerStatus.FAILED,
        TaskState.CANCELLED: WorkerStatus.FAILED,
        TaskState.SKIPPED: WorkerStatus.FAILED,
    }
)
"""The worker contract's word for each native state."""

RANKS_BEFORE_THE_END: Mapping[str, int] = MappingProxyType(
    {
        TaskState.PREPARING: 0,
        TaskState.RUNNING: 0,
        TaskState.COLLECTING: 0,
        TaskState.WAITING: 1,
        TaskState.QUEUED: 2,
        TaskState.BLOCKED: 3,
    }
)
"""`rank` of the tasks in each state that has not ended."""


def when(at: float) -> datetime:
    """A stored time, as the wire has it."""
    return datetime.fromtimestamp(at, UTC)


def when_known(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def stamp(at: float) -> str:
    """A time as events carry it (RFC 3339, UTC)."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
