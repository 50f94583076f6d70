"""Rows of artifacts: the files that an attempt left in its output folder."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.store.writer import Transaction

_INSERT = """
INSERT INTO artifacts (id, task_id, attempt, path, bytes, sha256, created_at)
VALUES (:id, :task_id, :attempt, :path, :bytes, :sha256, :now)
"""


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A kept file: `path` is relative to the output folder, `bytes` its size."""

    id: str
    path: str
    bytes: int
    sha256: str


def insert_artifacts(tx: Transaction, task_id: str, attempt: int, artifacts: Sequence[ArtifactRecord]) -> None:
    """Record what an attempt left, and say so in one event for each file."""
    same = {"task_id": task_id, "attempt": attempt, "now": tx.now}
    tx.executemany(
        _INSERT, [{"id": a.id, "path": a.path, "bytes": a.bytes, "sha256": a.sha256, **same} for a in artifacts]
    )
    for a in artifacts:
        tx.event("artifact.kept", task_id, {"id": a.id, "attempt": attempt, "path": a.path, "bytes": a.bytes})
