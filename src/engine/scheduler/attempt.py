"""An attempt that is live, as the engine holds it in memory."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.executors.base import AttemptKey, Ended
from engine.materials.artifacts import Collected
from engine.protocol.states import AttemptOutcome, TaskState
from engine.scheduler.capacity import Ask


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended. `retry_after` is set when it is to be tried again: seconds from `at`."""

    outcome: AttemptOutcome
    at: float
    error: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    retry_after: float | None = None


@dataclass(slots=True, eq=False)
class Live:
    """One attempt from its claim to its end. The fields down to `phase` never change."""

    key: AttemptKey
    job_name: str
    command: Sequence[str] | None
    args: str | None
    cwd: str | None
    env: Mapping[str, str]
    image: str | None
    group: str | None
    executor: str
    ask: Ask
    gpu_ids: tuple[int, ...]
    snapshot_id: str | None
    datasets: Sequence[str]
    dataset_specs: Sequence[Mapping[str, Any]]
    timeout_s: float | None
    max_retries: int
    retry_count: int
    queued_at: float
    user_id: str | None
    job_id: str | None
    phase: str | None

    state: TaskState = TaskState.PREPARING
    """As the store has it."""
    started_at: float | None = None
    pid: int | None = None
    launched: bool = False
    cancelled_by: str | None = None
    timed_out: bool = False
    ended: Ended | None = None
    finish: Finish | None = None
    collected: Collected | None = None
    work: asyncio.Task[None] | None = field(default=None, repr=False)
    """Preparing or collecting, while that takes its time."""

    @property
    def id(self) -> str:
        return self.key.task_id

    @property
    def attempt(self) -> int:
        return self.key.attempt


def from_row(row: Sequence[Any]) -> Live:
    """From the columns that `CLAIM` and `LIVE` share."""
    (task_id, job_name, attempt, command, args, cwd, env, image, group, executor, cpu, memory_gb, gpu, gpu_ids,
     snapshot_id, datasets, dataset_specs, timeout_s, max_retries, retry_count, queued_at, user_id, job_id,
     phase) = row[:24]  # fmt: skip
    return Live(
        AttemptKey(task_id, attempt),
        job_name,
        parsed(command),
        args,
        cwd,
        parsed(env) or {},
        image,
        group,
        executor,
        Ask(cpu, memory_gb, gpu),
        tuple(parsed(gpu_ids) or ()),
        snapshot_id,
        parsed(datasets) or (),
        parsed(dataset_specs) or (),
        timeout_s,
        max_retries,
        retry_count,
        queued_at,
        user_id,
        job_id,
        phase,
    )


def parsed(value: Any) -> Any:
    """A JSON column: SQLite hands over its text, other databases what it says."""
    if isinstance(value, str):
        return json.loads(value) if value not in {"[]", "{}"} else None
    return value
