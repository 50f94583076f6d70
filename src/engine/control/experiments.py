"""Experiments and their snapshots: what an operator can ask for."""

import secrets
from collections.abc import AsyncIterable
from datetime import UTC, datetime
from pathlib import Path

from engine.control.errors import Problem, invalid
from engine.materials.background import Stop
from engine.materials.errors import InvalidInput, MaterialError, reason
from engine.materials.prepare import Materials
from engine.materials.snapshots import Stored
from engine.materials.trees import remove, size_words
from engine.protocol.states import ErrorCode
from engine.protocol.work import CreateExperiment, ExperimentView, SnapshotView, StoreSnapshot
from engine.store.errors import Conflict
from engine.store.experiment_writes import insert_experiment, insert_snapshot
from engine.store.writer import Transaction, Writer

ARCHIVE_BYTES = 2 << 30
"""The largest packed archive that is taken in."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SPOOL = 1 << 20


class Experiments:
    def __init__(self, writer: Writer, materials: Materials) -> None:
        self._writer = writer
        self._materials = materials

    async def create(self, request: CreateExperiment, user: str) -> ExperimentView:
        """Raises `Problem`: a conflict when there is one of that name."""
        experiment_id = _new_id()

        def insert(tx: Transaction) -> float:
            insert_experiment(tx, experiment_id, request.name, request.description, user)
            return tx.now

        try:
            created_at = await self._writer.run(insert)
        except Conflict as error:
            raise Problem(ErrorCode.CONFLICT, f"There is an experiment called {request.name!r} already") from error
        return ExperimentView(
            id=experiment_id,
            name=request.name,
            commit_id=None,
            created_at=datetime.fromtimestamp(created_at, UTC),
            status="active",
            description=request.description,
        )

    async def store(self, request: StoreSnapshot, user: str) -> SnapshotView:
        """Keep a copy of a folder of this machine as the newest snapshot of an experiment, which is made if it is new.

        Raises `Problem` naming what can't be kept.
        """
        folder = Path(request.path)
        snapshots = self._materials.snapshots
        try:
            stored = await self._materials.run(lambda stop: snapshots.store(folder, stop))
        except MaterialError as error:
            raise _problem(error) from error
        return await self._note(stored, request.experiment, user)

    async def store_archive(self, chunks: AsyncIterable[bytes], experiment: str | None, user: str) -> SnapshotView:
        """The same for a folder that a client elsewhere packed as `.tar.gz`. Nothing of it lands outside."""
        snapshots = self._materials.snapshots
        spool = snapshots.spool()
        try:
            await self._receive(chunks, spool)
            stored = await self._materials.run(lambda stop: snapshots.store_archive(spool, stop))
        except MaterialError as error:
            raise _problem(error) from error
        finally:
            await self._materials.run(lambda _: remove(spool))
        return await self._note(stored, experiment, user)

    async def _receive(self, chunks: AsyncIterable[bytes], spool: Path) -> None:
        size, waiting, held = 0, [], 0
        async for chunk in chunks:
            size += len(chunk)
            held += len(chunk)
            if size > ARCHIVE_BYTES:
                raise InvalidInput("archive", f"is larger than {size_words(ARCHIVE_BYTES)}")
            waiting.append(chunk)
            if held >= _SPOOL:
                await self._append(spool, b"".join(waiting))
                waiting, held = [], 0
        await self._append(spool, b"".join(waiting))

    async def _append(self, spool: Path, content: bytes) -> None:
        def append(_: Stop) -> None:
            try:
                with spool.open("ab") as file:
                    file.write(content)
            except OSError as error:
                raise MaterialError(f"the archive could not be written down: {reason(error)}") from error

        await self._materials.run(append)

    async def _note(self, stored: Stored, experiment: str | None, user: str) -> SnapshotView:
        named = (experiment, _new_id()) if experiment is not None else None

        def insert(tx: Transaction) -> float:
            return insert_snapshot(tx, stored.id, files=stored.files, size=stored.bytes, experiment=named, user=user)

        created_at = await self._writer.run(insert)
        return SnapshotView(
            id=stored.id,
            experiment=experiment,
            files=stored.files,
            bytes=stored.bytes,
            created_at=datetime.fromtimestamp(created_at, UTC),
            notes=list(stored.notes),
        )


def _problem(error: MaterialError) -> Problem:
    if isinstance(error, InvalidInput):
        return invalid(error.field, str(error), error.value)
    return Problem(ErrorCode.SERVICE_UNAVAILABLE, str(error))


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))
