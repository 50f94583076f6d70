"""What the console keeps of the engine's answers: frozen rows, read by name from JSON.

A row takes the fields it knows and leaves the rest, so that a newer engine can add to its answers. What it
can't do without and doesn't find is named by `UnreadableRow`. Times are seconds since the epoch, UTC.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar


class UnreadableRow(Exception):
    """The engine answered in a shape that this console doesn't know; the message names the field."""


class Row(Protocol):
    """Anything built here: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


RowT = TypeVar("RowT", bound=Row)


def moment(value: object) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(str(value)).timestamp()


def _maybe_moment(value: object) -> float | None:
    return None if value is None else moment(value)


def _items(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def _maybe_items(value: object) -> tuple[Any, ...] | None:
    return tuple(value) if isinstance(value, (list, tuple)) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _time() -> Any:
    return field(default=None, metadata={"read": _maybe_moment})


def _list() -> Any:
    return field(default=(), metadata={"read": _items})


def _map() -> Any:
    return field(default_factory=dict, metadata={"read": _mapping})


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task: the fields of the wire's `TaskView`, under the same names."""

    id: str
    job_name: str
    state: str
    priority: int
    created_at: float = field(metadata={"read": moment})
    started_at: float | None = _time()
    ended_at: float | None = _time()
    queued_at: float | None = _time()
    not_before: float | None = _time()
    cpu: int = 0
    memory_gb: int = 0
    gpu: int = 0
    gpu_ids: tuple[int, ...] = _list()
    attempt: int = 0
    retry_count: int = 0
    max_retries: int = 0
    exit_code: int | None = None
    error: str | None = None
    reason: str | None = None
    output: str | None = None
    command: tuple[str, ...] | None = field(default=None, metadata={"read": _maybe_items})
    args: str | None = None
    cwd: str | None = None
    executor: str = "process"
    image: str | None = None
    group: str | None = None
    user_id: str | None = None
    worker_id: str | None = None
    snapshot_id: str | None = None
    datasets: tuple[str, ...] = _list()
    after: tuple[str, ...] = _list()
    timeout_s: float | None = None
    metadata: Mapping[str, str] = _map()
    job_id: str | None = None
    phase: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    task_id: str
    number: int
    outcome: str | None = None
    worker_id: str = ""
    claimed_at: float | None = _time()
    started_at: float | None = _time()
    ended_at: float | None = _time()
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    gpu_ids: tuple[int, ...] = _list()
    error: str | None = None
    output_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    id: str
    task_id: str
    path: str
    bytes: int
    attempt: int = 0
    sha256: str = ""
    created_at: float | None = _time()


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What an attempt uses now: `cpu` in cores, memory in bytes."""

    task_id: str
    attempt: int
    cpu: float
    memory_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class JobRow:
    id: str
    kind: str
    name: str
    state: str
    created_at: float = field(metadata={"read": moment})
    started_at: float | None = _time()
    ended_at: float | None = _time()
    phase: str | None = None
    phases_done: int = 0
    phases_total: int = 0
    cost: str = "0"
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PhaseRow:
    job_id: str
    name: str
    position: int
    state: str
    task_id: str | None = None
    attempt: int = 0
    started_at: float | None = _time()
    ended_at: float | None = _time()
    error: str | None = None

    @property
    def id(self) -> str:
        return f"{self.job_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class CostRow:
    """The calls of one group; `cost` in dollars, as the engine wrote it."""

    key: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: str
    unpriced: int = 0

    @property
    def id(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    id: str
    kind: str
    title: str
    state: str
    created_at: float = field(metadata={"read": moment})
    job_id: str | None = None
    task_id: str | None = None
    digest: str = ""
    expires_at: float | None = _time()


@dataclass(frozen=True, slots=True)
class EventRow:
    seq: int
    at: float = field(metadata={"read": moment})
    kind: str = ""
    subject: str = ""
    data: Mapping[str, Any] = _map()

    @property
    def id(self) -> str:
        return str(self.seq)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """The queue's counts; `completed`, `failed` (what was cancelled or skipped too) and `ended_today` are today's."""

    queued: int
    running: int
    completed: int
    failed: int
    workers: int = 1
    by_state: Mapping[str, int] = _map()
    paused: bool = False
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_at: float | None = _time()
    ended_today: Mapping[str, int] = _map()
    seq: int = 0


@dataclass(frozen=True, slots=True)
class GpuRow:
    index: int
    name: str
    task_id: str | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class GroupRow:
    name: str
    limit: int | None = None
    running: int = 0
    queued: int = 0


def _gpus(value: object) -> tuple["GpuRow", ...]:
    return tuple(build(GpuRow, item) for item in _items(value))


def _groups(value: object) -> tuple["GroupRow", ...]:
    return tuple(build(GroupRow, item) for item in _items(value))


@dataclass(frozen=True, slots=True)
class ResourcesRow:
    """What the machine offers and what is taken of it; memory in GB, disk and free memory in bytes."""

    host: str
    cpu_total: int
    cpu_used: int
    memory_gb_total: int
    memory_gb_used: int
    gpus: tuple[GpuRow, ...] = field(default=(), metadata={"read": _gpus})
    groups: tuple[GroupRow, ...] = field(default=(), metadata={"read": _groups})
    worker_id: str = ""
    reserved_for: str | None = None
    load: float = 0.0
    memory_available_bytes: int = 0
    disk_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class EngineRow:
    worker_id: str
    version: str
    host: str
    pid: int = 0
    started_at: float | None = _time()
    paused: bool = False
    draining: bool = False
    database: str = ""


@cache
def _readers(kind: type[Row]) -> tuple[tuple[str, Callable[[object], Any] | None, bool], ...]:
    """(name, how to read it, whether it must be there) of each field."""
    return tuple(
        (
            one.name,
            one.metadata.get("read"),
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(kind)
    )


def build(kind: type[RowT], data: object) -> RowT:
    """A row of `kind` from a JSON object. Raises `UnreadableRow`, naming the field."""
    if not isinstance(data, Mapping):
        raise UnreadableRow(f"{kind.__name__}: not an object but {type(data).__name__}")
    values: dict[str, Any] = {}
    for name, read, required in _readers(kind):
        if name in data:
            values[name] = _read(kind, name, read, data[name])
        elif required:
            raise UnreadableRow(f"{kind.__name__}: no field {name!r}")
    return kind(**values)


def patch(row: RowT, changes: Mapping[str, Any]) -> RowT:
    """`row` with the fields that `changes` names and it knows; the very same row when nothing differs."""
    values: dict[str, Any] = {}
    for name, read, _ in _readers(type(row)):
        if name in changes:
            value = _read(type(row), name, read, changes[name])
            if value != getattr(row, name):
                values[name] = value
    return replace(row, **values) if values else row


def _read(kind: type[Row], name: str, read: Callable[[object], Any] | None, value: object) -> Any:
    if read is None:
        return value
    try:
        return read(value)
    except (TypeError, ValueError) as error:
        raise UnreadableRow(f"{kind.__name__}: field {name!r} can't be read from {value!r:.40}") from error
