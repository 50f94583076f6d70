"""What the materials look up and write down in the store."""

import contextlib
import hashlib
from functools import partial

from engine.materials.artifacts import Artifact, Collected
from engine.store.artifact_writes import ArtifactRecord, insert_artifacts
from engine.store.errors import Conflict
from engine.store.task_writes import NEWEST_SNAPSHOT
from engine.store.writer import Writer

_BATCH = 500


class Records:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def newest_snapshot(self, experiment: str) -> str | None:
        """The id of the newest snapshot of the experiment with that name."""
        rows = await self._writer.run(lambda tx: tx.rows(NEWEST_SNAPSHOT, {"name": experiment}))
        return str(rows[0][0]) if rows else None

    async def keep(self, task_id: str, attempt: int, collected: Collected) -> None:
        """Write down what an attempt left. Doing it again for the same files changes nothing: ids come from them."""
        records = [_record(task_id, attempt, artifact) for artifact in collected.artifacts]
        for start in range(0, len(records), _BATCH):
            insert = partial(
                insert_artifacts, task_id=task_id, attempt=attempt, artifacts=records[start : start + _BATCH]
            )
            with contextlib.suppress(Conflict):
                await self._writer.run(insert)


def _record(task_id: str, attempt: int, artifact: Artifact) -> ArtifactRecord:
    name = f"{task_id}#{attempt}/{artifact.path}".encode()
    return ArtifactRecord(hashlib.sha256(name).hexdigest()[:16], artifact.path, artifact.bytes, artifact.sha256)
