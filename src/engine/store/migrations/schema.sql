CREATE TABLE artifacts (
    id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    path VARCHAR NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX artifacts_by_task ON artifacts (task_id, attempt);

CREATE TABLE attempts (
    task_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    worker_id VARCHAR NOT NULL,
    claimed_at FLOAT NOT NULL,
    started_at FLOAT,
    ended_at FLOAT,
    outcome VARCHAR,
    pid INTEGER,
    exit_code INTEGER,
    signal INTEGER,
    gpu_ids JSON NOT NULL,
    error VARCHAR,
    output_pruned_at FLOAT,
    PRIMARY KEY (task_id, number)
)
 WITHOUT ROWID;

CREATE TABLE calls (
    id VARCHAR NOT NULL,
    at FLOAT NOT NULL,
    job_id VARCHAR,
    phase VARCHAR,
    agent VARCHAR,
    provider VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_micros INTEGER,
    PRIMARY KEY (id)
);

CREATE INDEX calls_by_job ON calls (job_id);

CREATE INDEX calls_by_time ON calls (at);

CREATE TABLE checkpoints (
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    job_id VARCHAR,
    task_id VARCHAR,
    digest VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    expires_at FLOAT,
    PRIMARY KEY (id)
);

CREATE INDEX checkpoints_by_state ON checkpoints (state, created_at);

CREATE TABLE dependencies (
    task_id VARCHAR NOT NULL,
    on_task_id VARCHAR NOT NULL,
    PRIMARY KEY (task_id, on_task_id)
)
 WITHOUT ROWID;

CREATE INDEX ix_dependencies_on_task_id ON dependencies (on_task_id);

CREATE TABLE engine_state (
    name VARCHAR NOT NULL,
    value JSON,
    PRIMARY KEY (name)
);

CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at FLOAT NOT NULL,
    kind VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    data JSON NOT NULL
);

CREATE INDEX events_by_subject ON events (subject, seq);

CREATE TABLE experiment_snapshots (
    seq INTEGER NOT NULL,
    experiment_id VARCHAR NOT NULL,
    snapshot_id VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (seq)
);

CREATE INDEX ix_experiment_snapshots_experiment_id ON experiment_snapshots (experiment_id);

CREATE TABLE experiments (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    description VARCHAR,
    status VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

CREATE TABLE jobs (
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    parameters JSON NOT NULL,
    user_id VARCHAR,
    created_at FLOAT NOT NULL,
    started_at FLOAT,
    ended_at FLOAT,
    error VARCHAR,
    PRIMARY KEY (id)
);

CREATE TABLE keys (
    id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    prefix VARCHAR NOT NULL,
    hash VARCHAR NOT NULL,
    created_at FLOAT NOT NULL,
    revoked_at FLOAT,
    PRIMARY KEY (id),
    UNIQUE (hash)
);

CREATE TABLE phases (
    job_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    state VARCHAR NOT NULL,
    task_id VARCHAR,
    attempt INTEGER NOT NULL,
    started_at FLOAT,
    ended_at FLOAT,
    error VARCHAR,
    PRIMARY KEY (job_id, name)
);

CREATE TABLE snapshots (
    id VARCHAR NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    created_at FLOAT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE tasks (
    seq INTEGER NOT NULL,
    id VARCHAR NOT NULL,
    job_name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    rank INTEGER NOT NULL,
    rank_key FLOAT NOT NULL,
    priority INTEGER NOT NULL,
    executor VARCHAR NOT NULL,
    command JSON,
    args VARCHAR,
    cwd VARCHAR,
    env JSON NOT NULL,
    image VARCHAR,
    group_name VARCHAR,
    cpu INTEGER NOT NULL,
    memory_gb INTEGER NOT NULL,
    gpu INTEGER NOT NULL,
    gpu_ids JSON NOT NULL,
    snapshot_id VARCHAR,
    datasets JSON NOT NULL,
    dataset_specs JSON NOT NULL,
    metadata JSON NOT NULL,
    timeout_s FLOAT,
    max_retries INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    created_at FLOAT NOT NULL,
    queued_at FLOAT,
    not_before FLOAT,
    started_at FLOAT,
    ended_at FLOAT,
    exit_code INTEGER,
    error VARCHAR,
    reason VARCHAR,
    cancel_requested_by VARCHAR,
    user_id VARCHAR,
    worker_id VARCHAR,
    job_id VARCHAR,
    phase VARCHAR,
    PRIMARY KEY (seq),
    CONSTRAINT ended_at_ties_to_state CHECK ((ended_at IS NOT NULL) = (state IN ('cancelled', 'completed', 'failed', 'skipped'))),
    CONSTRAINT priority_range CHECK (priority BETWEEN 1 AND 10),
    UNIQUE (id)
);

CREATE INDEX tasks_by_group ON tasks (group_name) WHERE group_name IS NOT NULL;

CREATE INDEX tasks_by_job ON tasks (job_id) WHERE job_id IS NOT NULL;

CREATE INDEX tasks_by_name ON tasks (job_name);

CREATE INDEX tasks_by_rank ON tasks (rank, rank_key, seq);

CREATE INDEX tasks_by_state ON tasks (state, ended_at);

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
