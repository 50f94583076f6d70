"""Rows of experiments and snapshots."""

from engine.store.writer import Transaction


def insert_experiment(tx: Transaction, experiment_id: str, name: str, description: str | None) -> None:
    """Raises `Conflict` where the name is taken."""
    tx.execute(
        "INSERT INTO experiments (id, name, description, status, created_at)"
        " VALUES (:id, :name, :description, 'active', :now)",
        {"id": experiment_id, "name": name, "description": description, "now": tx.now},
    )
    tx.event("experiment.created", experiment_id, {"name": name})


def experiment_named(tx: Transaction, name: str) -> str | None:
    """The id of the experiment with this name."""
    rows = tx.rows("SELECT id FROM experiments WHERE name = :name", {"name": name})
    return rows[0][0] if rows else None


def insert_snapshot(tx: Transaction, snapshot_id: str, files: int, size: int) -> bool:
    """Record a snapshot of `size` bytes; False when its content was stored before."""
    added = tx.execute(
        "INSERT INTO snapshots (id, files, bytes, created_at) VALUES (:id, :files, :bytes, :now)"
        " ON CONFLICT (id) DO NOTHING",
        {"id": snapshot_id, "files": files, "bytes": size, "now": tx.now},
    )
    if added:
        tx.event("snapshot.stored", snapshot_id, {"files": files, "bytes": size})
    return added == 1


def add_to_experiment(tx: Transaction, experiment_id: str, snapshot_id: str) -> None:
    """Make a snapshot the newest of an experiment."""
    tx.execute(
        "INSERT INTO experiment_snapshots (experiment_id, snapshot_id, created_at) VALUES (:experiment, :snapshot, :now)",
        {"experiment": experiment_id, "snapshot": snapshot_id, "now": tx.now},
    )
