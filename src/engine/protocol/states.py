"""States, roles and codes: plain enumerations, shared by the engine and the console."""

from enum import StrEnum


class TaskState(StrEnum):
    """The native states of a task, in the order in which it meets them."""

    BLOCKED = "blocked"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


LIVE = frozenset({TaskState.PREPARING, TaskState.RUNNING, TaskState.COLLECTING})
"""States that hold a slot, memory and GPUs."""

ENDED = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED})
"""States that a task never leaves, save by an operator's retry, which starts a new attempt."""


class WorkerStatus(StrEnum):
    """The worker contract's words for a task's state."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    COMPLETED = "completed"
    FAILED = "failed"


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PhaseState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class ExecutorName(StrEnum):
    PROCESS = "process"
    DOCKER = "docker"
    RAY = "ray"
    INLINE = "inline"


class Role(StrEnum):
    """What a key may do: a viewer reads, an operator also changes work, an admin also manages keys and limits."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class ErrorCode(StrEnum):
    """The worker contract's machine-readable codes."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    VALIDATION_ERROR = "VALIDATION_ERROR"


class MessageType(StrEnum):
    """What a line on `/ws` is. The first three are the worker contract's."""

    TASK_UPDATE = "task_update"
    TASK_COMPLETE = "task_complete"
    PING = "ping"
    EVENT = "event"
    LAGGED = "lagged"
