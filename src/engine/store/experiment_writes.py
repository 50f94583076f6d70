"""Rows of experiments and snapshots."""

from engine.store.writer import Transaction

_INSERT_EXPERIMENT = """
INSERT INTO experiments (id, name, description, status, created_at) VALUES (:id, :name, :description, 'active', :now)
"""
_INSERT_SNAPSHOT = """
INSERT INTO snapshots (id, files, bytes, created_at) VALUES (:id, :files, :bytes, :now) ON CONFLICT (id) DO NOTHING
"""
_ADD_TO_EXPERIMENT = """
INSERT INTO experiment_snapshots (experiment_id, snapshot_id, created_at) VALUES (:experiment, :snapshot, :now)
"""


def insert_experiment(tx: Transaction, experiment_id: str, name: str, description: str | None, user: str) -> None:
    """Raises `Conflict` where the name is taken."""
    tx.execute(_INSERT_EXPERIMENT, {"id": experiment_id, "name": name, "description": description, "now": tx.now})
    tx.event("experiment.created", experiment_id, {"name": name, "description": description, "by": user})


def insert_snapshot(
    tx: Transaction, snapshot_id: str, *, files: int, size: int, experiment: tuple[str, str] | None, user: str
) -> float:
    """Record a snapshot of `size` bytes, once for each content; when it was first stored.

    `experiment` is the name of the one whose newest snapshot it becomes, and the id to make it with if it is new.
    """
    values = {"id": snapshot_id, "files": files, "bytes": size, "now": tx.now}
    new = tx.execute(_INSERT_SNAPSHOT, values) == 1
    if experiment is not None:
        experiment_id = _experiment(tx, *experiment, user)
        tx.execute(_ADD_TO_EXPERIMENT, {"experiment": experiment_id, "snapshot": snapshot_id, "now": tx.now})
    name = None if experiment is None else experiment[0]
    tx.event(
        "snapshot.stored", snapshot_id, {"experiment": name, "files": files, "bytes": size, "new": new, "by": user}
    )
    created_at: float = tx.rows("SELECT created_at FROM snapshots WHERE id = :id", {"id": snapshot_id})[0][0]
    return created_at


def _experiment(tx: Transaction, name: str, new_id: str, user: str) -> str:
    found = tx.rows("SELECT id FROM experiments WHERE name = :name", {"name": name})
    if found:
        return str(found[0][0])
    insert_experiment(tx, new_id, name, None, user)
    return new_id
