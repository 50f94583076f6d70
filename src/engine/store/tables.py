"""The tables. Times are seconds since the epoch (UTC), memory is in GB as tasks ask for it, lists are JSON text."""

from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, Index, text
from sqlmodel import Field, SQLModel

from engine.protocol.states import ENDED, TaskState

_BY_KEY_ALONE: Any = {"sqlite_with_rowid": False}
"""One tree rather than a table and its index: a page less in every commit."""
_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED))


class TaskRow(SQLModel, table=True):
    """A task. `rank` and `rank_key` are the order in which an operator wants to read the queue:

    live first (by start), then waiting, queued (by ready order), blocked, and what ended, newest first.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"(ended_at IS NOT NULL) = (state IN ({_ENDED}))", name="ended_at_ties_to_state"),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority_range"),
        Index("tasks_by_rank", "rank", "rank_key", "seq"),
        Index("tasks_by_state", "state", "ended_at"),
        Index("tasks_by_group", "group_name", sqlite_where=text("group_name IS NOT NULL")),
        Index("tasks_by_name", "job_name"),
        Index("tasks_by_job", "job_id", sqlite_where=text("job_id IS NOT NULL")),
    )

    seq: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    job_name: str
    state: str = TaskState.QUEUED
    rank: int = 2
    rank_key: float = 0.0
    priority: int = 5
    executor: str = "process"
    command: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    args: str | None = None
    cwd: str | None = None
    env: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    image: str | None = None
    group_name: str | None = None
    cpu: int = 1
    memory_gb: int = 0
    gpu: int = 0
    gpu_ids: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    snapshot_id: str | None = None
    datasets: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    dataset_specs: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    task_metadata: dict[str, str] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    timeout_s: float | None = None
    max_retries: int = 0
    retry_count: int = 0
    attempt: int = 0
    created_at: float
    queued_at: float | None = None
    not_before: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    error: str | None = None
    reason: str | None = None
    cancel_requested_by: str | None = None
    user_id: str | None = None
    worker_id: str | None = None
    job_id: str | None = None
    phase: str | None = None


class DependencyRow(SQLModel, table=True):
    """`task_id` starts only after `on_task_id` completed."""

    __tablename__ = "dependencies"
    __table_args__ = _BY_KEY_ALONE

    task_id: str = Field(primary_key=True)
    on_task_id: str = Field(primary_key=True, index=True)


class AttemptRow(SQLModel, table=True):
    """One run of a task. A row is written when the attempt is claimed and never deleted before its task."""

    __tablename__ = "attempts"
    __table_args__ = _BY_KEY_ALONE

    task_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    worker_id: str
    claimed_at: float
    started_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    gpu_ids: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    error: str | None = None
    output_pruned_at: float | None = None


class EventRow(SQLModel, table=True):
    """The one stream. `seq` is the order of commits."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_subject", "subject", "seq"), {"sqlite_autoincrement": True})

    seq: int | None = Field(default=None, primary_key=True)
    at: float
    kind: str
    subject: str
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class StateRow(SQLModel, table=True):
    """What the engine itself must remember: whether the queue is paused, its id, group limits. `value` is JSON."""

    __tablename__ = "engine_state"

    name: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_column=Column(JSON))


class KeyRow(SQLModel, table=True):
    """An API key: `hash` is the SHA-256 of the secret (random, 32 bytes), `prefix` what a person recognises."""

    __tablename__ = "keys"

    id: str = Field(primary_key=True)
    name: str
    role: str
    prefix: str
    hash: str = Field(unique=True)
    created_at: float
    revoked_at: float | None = None


class ExperimentRow(SQLModel, table=True):
    __tablename__ = "experiments"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    description: str | None = None
    status: str = "active"
    created_at: float


class SnapshotRow(SQLModel, table=True):
    """A stored copy of a folder, once for each content."""

    __tablename__ = "snapshots"

    id: str = Field(primary_key=True)
    files: int
    bytes: int
    created_at: float


class ExperimentSnapshotRow(SQLModel, table=True):
    """Which snapshots an experiment has; the one with the highest `seq` is its newest."""

    __tablename__ = "experiment_snapshots"

    seq: int | None = Field(default=None, primary_key=True)
    experiment_id: str = Field(index=True)
    snapshot_id: str
    created_at: float


class ArtifactRow(SQLModel, table=True):
    __tablename__ = "artifacts"
    __table_args__ = (Index("artifacts_by_task", "task_id", "attempt"),)

    id: str = Field(primary_key=True)
    task_id: str
    attempt: int
    path: str
    bytes: int
    sha256: str
    created_at: float


class JobRow(SQLModel, table=True):
    """A graph of phases of some kind."""

    __tablename__ = "jobs"

    id: str = Field(primary_key=True)
    kind: str
    name: str
    state: str = "queued"
    parameters: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    user_id: str | None = None
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None


class PhaseRow(SQLModel, table=True):
    __tablename__ = "phases"

    job_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    position: int
    state: str = "pending"
    task_id: str | None = None
    attempt: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    error: str | None = None


class CallRow(SQLModel, table=True):
    """One request to a model: the ledger. Money in millionths of a dollar; `cost_micros` NULL is unpriced."""

    __tablename__ = "calls"
    __table_args__ = (Index("calls_by_time", "at"), Index("calls_by_job", "job_id"))

    id: str = Field(primary_key=True)
    at: float
    job_id: str | None = None
    phase: str | None = None
    agent: str | None = None
    provider: str
    model: str
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_micros: int | None = None


class CheckpointRow(SQLModel, table=True):
    """A question to a person that parks a phase until it is decided."""

    __tablename__ = "checkpoints"
    __table_args__ = (Index("checkpoints_by_state", "state", "created_at"),)

    id: str = Field(primary_key=True)
    kind: str
    title: str
    job_id: str | None = None
    task_id: str | None = None
    digest: str
    state: str = "open"
    created_at: float
    expires_at: float | None = None
