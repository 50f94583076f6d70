"""Experiments, snapshots, keys, jobs, phases, costs and approvals."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from engine.protocol.states import JobState, PhaseState, Role
from engine.protocol.wire import Window
from engine.protocol.work import (
    ApprovalView,
    CostLine,
    CostsView,
    ExperimentView,
    JobView,
    KeyView,
    PhaseView,
    SnapshotView,
)
from engine.store.queue_reads import local_midnight
from engine.store.readers import Part, Snapshot
from engine.store.text import when, when_known

V = TypeVar("V")

_EXPERIMENTS = """
SELECT id, name, description, status, created_at,
       (SELECT snapshot_id FROM experiment_snapshots WHERE experiment_id = experiments.id ORDER BY seq DESC LIMIT 1)
FROM experiments ORDER BY created_at DESC, id
"""
_NEWEST_SNAPSHOT = """
SELECT snapshot_id FROM experiment_snapshots JOIN experiments ON experiments.id = experiment_id
WHERE experiments.name = :name ORDER BY experiment_snapshots.seq DESC LIMIT 1
"""
_SNAPSHOTS = """
SELECT id, files, bytes, created_at,
       (SELECT experiments.name FROM experiment_snapshots JOIN experiments ON experiments.id = experiment_id
        WHERE snapshot_id = snapshots.id ORDER BY experiment_snapshots.seq DESC LIMIT 1)
FROM snapshots ORDER BY created_at DESC, id
"""
_KEYS = "SELECT id, name, role, prefix, created_at, revoked_at FROM keys ORDER BY created_at, id"
_JOBS = """
SELECT id, kind, name, state, created_at, started_at, ended_at, error,
       (SELECT name FROM phases WHERE job_id = jobs.id AND state IN ('running', 'waiting') ORDER BY position LIMIT 1),
       (SELECT count(*) FROM phases WHERE job_id = jobs.id AND state IN ('passed', 'skipped')),
       (SELECT count(*) FROM phases WHERE job_id = jobs.id),
       (SELECT coalesce(sum(cost_micros), 0) FROM calls WHERE job_id = jobs.id)
FROM jobs
"""
_PHASE_COLUMNS = """
phases.job_id, phases.name, phases.position, phases.state, phases.task_id, phases.attempt, phases.started_at,
phases.ended_at, phases.error
"""
_LIVE_PHASES = """
FROM phases JOIN jobs ON jobs.id = phases.job_id WHERE jobs.state IN ('queued', 'running', 'waiting')
"""
_SPENT = """
SELECT coalesce(sum(cost_micros), 0), coalesce(sum(CASE WHEN at >= :midnight THEN cost_micros END), 0) FROM calls
"""
_COST_LINES = """
SELECT {key}, count(*), sum(input_tokens + cache_read_tokens + cache_write_tokens),
       sum(output_tokens + reasoning_tokens), coalesce(sum(cost_micros), 0),
       sum(CASE WHEN cost_micros IS NULL THEN 1 ELSE 0 END)
FROM calls GROUP BY 1 ORDER BY 5 DESC, 1
"""
_COST_KEYS = {
    "model": "model",
    "provider": "provider",
    "job": "coalesce(job_id, '')",
    "phase": "coalesce(phase, '')",
    "agent": "coalesce(agent, '')",
    "day": "date(at, 'unixepoch', 'localtime')",
}
_APPROVALS = "SELECT id, kind, title, job_id, task_id, digest, state, created_at, expires_at FROM checkpoints"


class WorkReads(Part):
    async def experiments(self) -> list[ExperimentView]:
        """All experiments, newest first, each with its newest snapshot."""
        return await self._list(_EXPERIMENTS, _experiment)

    async def newest_snapshot(self, experiment: str) -> str | None:
        """The id of the newest snapshot of the experiment with this name."""

        def newest(snapshot: Snapshot) -> str | None:
            rows = snapshot.rows(_NEWEST_SNAPSHOT, {"name": experiment})
            return rows[0][0] if rows else None

        return await self._look(newest)

    async def snapshots(self) -> list[SnapshotView]:
        """All snapshots, newest first, each with the experiment that it was last added to."""
        return await self._list(_SNAPSHOTS, _snapshot)

    async def keys(self) -> list[KeyView]:
        """All keys, oldest first, also those that were revoked."""
        return await self._list(_KEYS, _key)

    async def jobs(self, *, limit: int, offset: int) -> Window[JobView]:
        """Jobs, newest first."""

        def window(snapshot: Snapshot) -> Window[JobView]:
            rows = snapshot.rows(
                f"{_JOBS} ORDER BY created_at DESC, id LIMIT :limit OFFSET :offset", {"limit": limit, "offset": offset}
            )
            total = snapshot.one("SELECT count(*) FROM jobs")[0]
            return Window[JobView](
                rows=[_job(row) for row in rows],
                total=total,
                limit=limit,
                offset=offset,
                seq=snapshot.newest_event(),
            )

        return await self._look(window)

    async def job(self, job_id: str) -> JobView | None:
        def one(snapshot: Snapshot) -> JobView | None:
            rows = snapshot.rows(f"{_JOBS} WHERE id = :id", {"id": job_id})
            return _job(rows[0]) if rows else None

        return await self._look(one)

    async def job_phases(self, job_id: str) -> list[PhaseView]:
        """The phases of a job in the order of its graph."""
        sql = f"SELECT {_PHASE_COLUMNS} FROM phases WHERE job_id = :id ORDER BY position"
        return await self._look(lambda snapshot: [_phase(row) for row in snapshot.rows(sql, {"id": job_id})])

    async def phases(self, *, limit: int, offset: int) -> Window[PhaseView]:
        """The phases of all jobs that have not ended, newest job first."""

        def window(snapshot: Snapshot) -> Window[PhaseView]:
            rows = snapshot.rows(
                f"SELECT {_PHASE_COLUMNS} {_LIVE_PHASES}"
                "ORDER BY jobs.created_at DESC, phases.job_id, phases.position LIMIT :limit OFFSET :offset",
                {"limit": limit, "offset": offset},
            )
            total = snapshot.one(f"SELECT count(*) {_LIVE_PHASES}")[0]
            return Window[PhaseView](
                rows=[_phase(row) for row in rows],
                total=total,
                limit=limit,
                offset=offset,
                seq=snapshot.newest_event(),
            )

        return await self._look(window)

    async def costs(self, by: str) -> CostsView:
        """Spend added up by `model`, `provider`, `job`, `phase`, `agent` or `day`, dearest first."""
        lines = _COST_LINES.format(key=_COST_KEYS[by])

        def costs(snapshot: Snapshot) -> CostsView:
            total, today = snapshot.one(_SPENT, {"midnight": local_midnight()})
            return CostsView(
                today=_dollars(today),
                total=_dollars(total),
                daily_limit=None,
                lines=[_cost_line(row) for row in snapshot.rows(lines)],
                by=by,
            )

        return await self._look(costs)

    async def approvals(self, *, state: str | None, limit: int, offset: int) -> Window[ApprovalView]:
        """Questions to a person, newest first; with `state` only those in it."""
        where = "" if state is None else "WHERE state = :state"

        def window(snapshot: Snapshot) -> Window[ApprovalView]:
            values = {"state": state, "limit": limit, "offset": offset}
            rows = snapshot.rows(
                f"{_APPROVALS} {where} ORDER BY created_at DESC, id LIMIT :limit OFFSET :offset", values
            )
            total = snapshot.one(f"SELECT count(*) FROM checkpoints {where}", values)[0]
            return Window[ApprovalView](
                rows=[_approval(row) for row in rows],
                total=total,
                limit=limit,
                offset=offset,
                seq=snapshot.newest_event(),
            )

        return await self._look(window)

    async def _list(self, sql: str, view: Callable[[Sequence[Any]], V]) -> list[V]:
        return await self._look(lambda snapshot: [view(row) for row in snapshot.rows(sql)])


def _experiment(row: Sequence[Any]) -> ExperimentView:
    experiment_id, name, description, status, created_at, newest = row
    return ExperimentView(
        id=experiment_id,
        name=name,
        commit_id=newest,
        created_at=when(created_at),
        status=status,
        description=description,
    )


def _snapshot(row: Sequence[Any]) -> SnapshotView:
    snapshot_id, files, size, created_at, experiment = row
    return SnapshotView(id=snapshot_id, experiment=experiment, files=files, bytes=size, created_at=when(created_at))


def _key(row: Sequence[Any]) -> KeyView:
    key_id, name, role, prefix, created_at, revoked_at = row
    return KeyView(
        id=key_id,
        name=name,
        role=Role(role),
        prefix=prefix,
        created_at=when(created_at),
        revoked_at=when_known(revoked_at),
    )


def _job(row: Sequence[Any]) -> JobView:
    job_id, kind, name, state, created_at, started_at, ended_at, error, phase, done, phases, cost = row
    return JobView(
        id=job_id,
        kind=kind,
        name=name,
        state=JobState(state),
        created_at=when(created_at),
        started_at=when_known(started_at),
        ended_at=when_known(ended_at),
        phase=phase,
        phases_done=done,
        phases_total=phases,
        cost=_dollars(cost),
        error=error,
    )


def _phase(row: Sequence[Any]) -> PhaseView:
    job_id, name, position, state, task_id, attempt, started_at, ended_at, error = row
    return PhaseView(
        job_id=job_id,
        name=name,
        position=position,
        state=PhaseState(state),
        task_id=task_id,
        attempt=attempt,
        started_at=when_known(started_at),
        ended_at=when_known(ended_at),
        error=error,
    )


def _cost_line(row: Sequence[Any]) -> CostLine:
    key, calls, input_tokens, output_tokens, cost, unpriced = row
    return CostLine(
        key=key,
        calls=calls,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=_dollars(cost),
        unpriced=unpriced,
    )


def _approval(row: Sequence[Any]) -> ApprovalView:
    checkpoint_id, kind, title, job_id, task_id, digest, state, created_at, expires_at = row
    return ApprovalView(
        id=checkpoint_id,
        kind=kind,
        title=title,
        job_id=job_id,
        task_id=task_id,
        digest=digest,
        state=state,
        created_at=when(created_at),
        expires_at=when_known(expires_at),
    )


def _dollars(micros: int) -> Decimal:
    return Decimal(micros) / 1_000_000
