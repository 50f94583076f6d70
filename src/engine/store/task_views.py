"""Tasks and attempts as the wire shows them, from rows."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from engine.protocol.states import AttemptOutcome, ExecutorName, TaskState
from engine.protocol.tasks import AttemptView, TaskView
from engine.store.text import WORKER_STATUS, when, when_known

TASK_COLUMNS = (
    "id, job_name, state, priority, created_at, started_at, ended_at, worker_id, error, reason, snapshot_id, datasets, "
    "cpu, memory_gb, gpu, user_id, retry_count, max_retries, queued_at, not_before, attempt, exit_code, gpu_ids, "
    "command, args, cwd, executor, image, group_name, timeout_s, metadata, job_id, phase"
)

ATTEMPT_COLUMNS = (
    "task_id, number, outcome, worker_id, claimed_at, started_at, ended_at, pid, exit_code, signal, gpu_ids, error"
)

_ENDED_WITHOUT_ERROR = (TaskState.CANCELLED, TaskState.SKIPPED)


def task_view(row: Sequence[Any], after: Sequence[str]) -> TaskView:
    """From `TASK_COLUMNS` and the tasks it waits for. A cancelled or skipped one says why as its error."""
    (task_id, job_name, state, priority, created_at, started_at, ended_at, worker_id, error, reason, snapshot_id,
     datasets, cpu, memory_gb, gpu, user_id, retry_count, max_retries, queued_at, not_before, attempt, exit_code,
     gpu_ids, command, args, cwd, executor, image, group, timeout_s, metadata, job_id, phase) = row  # fmt: skip
    return TaskView(
        id=task_id,
        job_name=job_name,
        status=WORKER_STATUS[state],
        priority=priority,
        created_at=when(created_at),
        started_at=when_known(started_at),
        ended_at=when_known(ended_at),
        worker_id=worker_id,
        error=error or (reason if state in _ENDED_WITHOUT_ERROR else None),
        snapshot_id=snapshot_id,
        datasets=parsed(datasets, []),
        cpu=cpu,
        memory_gb=memory_gb,
        gpu=gpu,
        user_id=user_id,
        retry_count=retry_count,
        max_retries=max_retries,
        state=TaskState(state),
        reason=reason,
        queued_at=when_known(queued_at),
        not_before=when_known(not_before),
        attempt=attempt,
        exit_code=exit_code,
        gpu_ids=parsed(gpu_ids, []),
        command=parsed(command, None),
        args=args,
        cwd=cwd,
        executor=ExecutorName(executor),
        image=image,
        group=group,
        after=list(after),
        timeout_s=timeout_s,
        metadata=parsed(metadata, {}),
        job_id=job_id,
        phase=phase,
    )


def attempt_view(row: Sequence[Any]) -> AttemptView:
    """From `ATTEMPT_COLUMNS`. The size of its output is for whoever knows the files."""
    (task_id, number, outcome, worker_id, claimed_at, started_at, ended_at, pid, exit_code, signal, gpu_ids,
     error) = row  # fmt: skip
    return AttemptView(
        task_id=task_id,
        number=number,
        outcome=None if outcome is None else AttemptOutcome(outcome),
        worker_id=worker_id,
        claimed_at=when(claimed_at),
        started_at=when_known(started_at),
        ended_at=when_known(ended_at),
        pid=pid,
        exit_code=exit_code,
        signal=signal,
        gpu_ids=parsed(gpu_ids, []),
        error=error,
    )


def parsed(value: Any, empty: Any) -> Any:
    """A JSON column: some databases hand over its text, others what it says."""
    if value is None:
        return empty
    return from_json(value) if isinstance(value, str) else value
