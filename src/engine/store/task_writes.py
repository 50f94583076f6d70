"""Named SQL that writes tasks, their attempts and what they depend on. Run by the scheduler, inside a transaction."""

from functools import lru_cache

NEWEST_TASK = "SELECT coalesce(max(seq), 0) FROM tasks"

INSERT_TASK = """
INSERT INTO tasks (seq, id, job_name, state, rank, rank_key, priority, executor, command, args, cwd, env, image,
                   group_name, cpu, memory_gb, gpu, gpu_ids, snapshot_id, datasets, dataset_specs, metadata, timeout_s,
                   max_retries, retry_count, attempt, created_at, queued_at, ended_at, error, reason, user_id, job_id,
                   phase)
VALUES (:seq, :id, :job_name, :state, :rank, :rank_key, :priority, :executor, :command, :args, :cwd, :env, :image,
        :group_name, :cpu, :memory_gb, :gpu, '[]', :snapshot_id, :datasets, :dataset_specs, :metadata, :timeout_s,
        :max_retries, 0, 0, :created_at, :queued_at, :ended_at, :error, :reason, :user_id, :job_id, :phase)
"""

INSERT_DEPENDENCY = "INSERT INTO dependencies (task_id, on_task_id) VALUES (:task_id, :on_task_id)"

INSERT_ATTEMPT = """
INSERT INTO attempts (task_id, number, worker_id, claimed_at, gpu_ids)
VALUES (:task_id, :number, :worker_id, :claimed_at, :gpu_ids)
"""

START_ATTEMPT = """
UPDATE attempts SET started_at = :started_at, pid = :pid
WHERE task_id = :task_id AND number = :number AND ended_at IS NULL
"""

END_ATTEMPT = """
UPDATE attempts
SET started_at = coalesce(started_at, :started_at), pid = coalesce(pid, :pid), ended_at = coalesce(ended_at, :ended_at),
    outcome = :outcome, exit_code = :exit_code, signal = :signal, error = :error
WHERE task_id = :task_id AND number = :number
"""

# The ask is part of the fence: one that an operator changed meanwhile is not what was set aside for the task.
CLAIM = """
UPDATE tasks
SET state = :to_state, attempt = attempt + 1, worker_id = :worker_id, gpu_ids = :gpu_ids, rank = :rank,
    rank_key = :rank_key, reason = NULL, not_before = NULL, started_at = NULL, exit_code = NULL, error = NULL
WHERE id = :id AND state = :from_state AND attempt = :attempt
  AND cpu = :cpu AND memory_gb = :memory_gb AND gpu = :gpu
RETURNING id, job_name, attempt, command, args, cwd, env, image, group_name, executor, cpu, memory_gb, gpu, gpu_ids,
          snapshot_id, datasets, dataset_specs, timeout_s, max_retries, retry_count, queued_at, user_id, job_id, phase
"""

LIVE = """
SELECT id, job_name, attempt, command, args, cwd, env, image, group_name, executor, cpu, memory_gb, gpu, gpu_ids,
       snapshot_id, datasets, dataset_specs, timeout_s, max_retries, retry_count, queued_at, user_id, job_id, phase,
       state, started_at, cancel_requested_by
FROM tasks WHERE state IN ('preparing', 'running', 'collecting') ORDER BY rank_key, seq
"""

QUEUED = """
SELECT seq, id, attempt, priority, queued_at, not_before, cpu, memory_gb, gpu, group_name, executor
FROM tasks WHERE state = 'queued'
"""

QUEUED_ONE = QUEUED + " AND id = :id"

WAITED_FOR = """
SELECT DISTINCT on_task_id FROM dependencies JOIN tasks ON tasks.id = dependencies.task_id
WHERE tasks.state = 'blocked'
"""

TASK = """
SELECT state, attempt, job_name, cancel_requested_by, error, reason, seq, priority, queued_at, created_at, not_before,
       cpu, memory_gb, gpu, group_name, executor, timeout_s, max_retries
FROM tasks WHERE id = :id
"""

ATTEMPT_END = """
SELECT outcome, exit_code, signal, error, ended_at FROM attempts WHERE task_id = :id AND number = :attempt
"""

INTERRUPTED_IN_A_ROW = """
SELECT count(*) FROM attempts
WHERE task_id = :id AND outcome = 'interrupted'
  AND number > (SELECT coalesce(max(number), 0) FROM attempts
                WHERE task_id = :id AND outcome IS NOT NULL AND outcome <> 'interrupted')
"""

DEPENDENTS = """
SELECT tasks.id, tasks.state, tasks.attempt, tasks.seq, tasks.priority, tasks.created_at
FROM dependencies JOIN tasks ON tasks.id = dependencies.task_id
WHERE dependencies.on_task_id = :id AND tasks.state = :state ORDER BY tasks.seq
"""

DEPENDS_ON = """
SELECT tasks.id, tasks.job_name, tasks.state, tasks.error, tasks.reason
FROM dependencies JOIN tasks ON tasks.id = dependencies.on_task_id
WHERE dependencies.task_id = :id AND tasks.state <> 'completed' ORDER BY tasks.seq
"""

REQUEST_CANCEL = """
UPDATE tasks SET cancel_requested_by = :by, reason = :reason
WHERE id = :id AND state = :from_state AND attempt = :attempt AND cancel_requested_by IS NULL
"""

CHANGE = """
UPDATE tasks
SET priority = :priority, cpu = :cpu, memory_gb = :memory_gb, gpu = :gpu, timeout_s = :timeout_s,
    max_retries = :max_retries, rank_key = :rank_key
WHERE id = :id AND state = :from_state AND attempt = :attempt
"""

INSERT_ARTIFACT = """
INSERT INTO artifacts (id, task_id, attempt, path, bytes, sha256, created_at)
VALUES (:id, :task_id, :attempt, :path, :bytes, :sha256, :created_at)
"""

READ_STATE = "SELECT value FROM engine_state WHERE name = :name"

WRITE_STATE = """
INSERT INTO engine_state (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


@lru_cache(maxsize=256)
def move_sql(columns: tuple[str, ...], fenced_by_cancel: bool) -> str:
    """The statement of one transition: sets `state` and `columns`, fenced by id, state and attempt.

    `fenced_by_cancel` lets it miss a task whose cancellation was asked for.
    """
    settings = ", ".join(f"{column} = :{column}" for column in columns)
    fence = " AND cancel_requested_by IS NULL" if fenced_by_cancel else ""
    return (
        f"UPDATE tasks SET state = :to_state, {settings} "
        f"WHERE id = :id AND state = :from_state AND attempt = :attempt{fence} RETURNING job_name"
    )
