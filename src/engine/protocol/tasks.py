"""Tasks on the wire: the worker contract's fields and, beside them, what the native API adds."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from engine.protocol.states import AttemptOutcome, ExecutorName, TaskState, WorkerStatus
from engine.protocol.wire import Request, View

JobName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]+$", min_length=1, max_length=64)]
GroupName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]+$", min_length=1, max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class DatasetSpec(Request):
    """Data that a task needs before it runs.

    `source` is a path, a `file://` or an `http(s)://` address. Without `mount_path` the data stands under
    `datasets/<name>` in the working folder.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]+$", min_length=1, max_length=128)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    sha256: Sha256 | None = None
    mount_path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None


class SubmitTask(Request):
    """A task to run. The fields from `job_name` to `metadata` are the worker contract's; the rest are native.

    What runs is `command`; else the entry script of `snapshot_id`; else that of the newest snapshot of the
    experiment called like `job_name`. `args` is split as a shell splits words and never given to a shell.
    """

    job_name: JobName
    priority: int = Field(default=5, ge=1, le=10)
    args: str | None = Field(default=None, max_length=65536)
    snapshot_id: str | None = Field(default=None, max_length=128)
    datasets: list[str] = Field(default_factory=list, max_length=256)
    dataset_specs: list[DatasetSpec] = Field(default_factory=list, max_length=256)
    cpu: int = Field(default=1, ge=0, le=4096)
    memory_gb: int = Field(default=0, ge=0, le=1 << 20)
    gpu: int = Field(default=0, ge=0, le=1024)
    metadata: dict[str, str] = Field(default_factory=dict, max_length=256)

    command: list[str] | None = Field(default=None, min_length=1, max_length=4096)
    cwd: str | None = Field(default=None, max_length=4096)
    env: dict[str, str] = Field(default_factory=dict, max_length=1024)
    executor: ExecutorName = ExecutorName.PROCESS
    image: str | None = Field(default=None, max_length=512)
    group: GroupName | None = None
    after: list[str] = Field(default_factory=list, max_length=1024)
    max_retries: int = Field(default=0, ge=0, le=100)
    timeout_s: float | None = Field(default=None, gt=0, le=31_536_000)


class SubmitBatch(Request):
    """Many tasks in one transaction: all of them are queued, or none."""

    tasks: list[SubmitTask] = Field(min_length=1, max_length=10_000)


class TaskView(View):
    """A task as it stands. `status` is the worker contract's word, `state` the engine's own."""

    id: str
    job_name: str
    status: WorkerStatus
    priority: int
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    worker_id: str | None = None
    error: str | None = None
    output: str | None = None
    snapshot_id: str | None = None
    datasets: list[str] = Field(default_factory=list)
    cpu: int
    memory_gb: int
    gpu: int
    user_id: str | None = None
    retry_count: int = 0
    max_retries: int = 0

    state: TaskState
    reason: str | None = None
    queued_at: datetime | None = None
    not_before: datetime | None = None
    attempt: int = 0
    exit_code: int | None = None
    gpu_ids: list[int] = Field(default_factory=list)
    command: list[str] | None = None
    args: str | None = None
    cwd: str | None = None
    executor: ExecutorName = ExecutorName.PROCESS
    image: str | None = None
    group: str | None = None
    after: list[str] = Field(default_factory=list)
    timeout_s: float | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    job_id: str | None = None
    phase: str | None = None


class TaskList(View):
    """The worker contract's list, which is also the native window (`seq` as in `Window`)."""

    tasks: list[TaskView]
    total: int
    limit: int
    offset: int
    seq: int


class AttemptView(View):
    task_id: str
    number: int
    outcome: AttemptOutcome | None = None
    worker_id: str
    claimed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    gpu_ids: list[int] = Field(default_factory=list)
    error: str | None = None
    output_bytes: int = 0


class ArtifactView(View):
    """A file that a task left in its output folder; `path` is relative to that folder, `bytes` its size."""

    id: str
    task_id: str
    attempt: int
    path: str
    bytes: int
    sha256: str
    created_at: datetime


class LogWindow(View):
    """Bytes `offset` to `next_offset` of an attempt's output; `text` replaces what is not UTF-8."""

    task_id: str
    attempt: int
    offset: int
    next_offset: int
    size: int
    text: str
    ended: bool


class TaskUsage(View):
    """What an attempt's processes use now: `cpu` in cores, `memory_bytes` resident, over `processes` processes."""

    task_id: str
    attempt: int
    cpu: float
    memory_bytes: int
    processes: int


class BulkResult(View):
    """What became of each task of a bulk action: `done` ids, and `refused` ids with the reason."""

    done: list[str]
    refused: dict[str, str]


class BulkRequest(Request):
    """The tasks of a bulk action: ids, or all that match `filter`."""

    ids: list[str] = Field(default_factory=list, max_length=10_000)
    filter: str | None = Field(default=None, max_length=1024)


class TaskChange(Request):
    """What an operator may change on a task that has not started, or hand over with a retry."""

    priority: int | None = Field(default=None, ge=1, le=10)
    cpu: int | None = Field(default=None, ge=0, le=4096)
    memory_gb: int | None = Field(default=None, ge=0, le=1 << 20)
    gpu: int | None = Field(default=None, ge=0, le=1024)
    timeout_s: float | None = Field(default=None, gt=0, le=31_536_000)
    max_retries: int | None = Field(default=None, ge=0, le=100)
