"""Experiments' snapshots, and the lists of jobs, phases, costs and approvals."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from engine.api.errors import not_found
from engine.api.openapi import takes
from engine.api.parts import parts_of, user_of
from engine.api.replies import body_of, reply, reply_list
from engine.protocol.wire import Window
from engine.protocol.work import (
    ApprovalView,
    CostsView,
    ExperimentName,
    JobView,
    PhaseView,
    SnapshotView,
    StoreSnapshot,
)

router = APIRouter(tags=["work"])

Limit = Annotated[int, Query(ge=0, le=1000)]
Offset = Annotated[int, Query(ge=0, le=2**62)]


@router.get("/v1/snapshots", response_model=list[SnapshotView])
async def list_snapshots(request: Request) -> Response:
    """Stored copies of code, newest first."""
    return reply_list(await parts_of(request).reads.snapshots())


@router.post("/v1/snapshots", status_code=201, response_model=SnapshotView, openapi_extra=takes(StoreSnapshot))
async def store_snapshot(request: Request) -> Response:
    """Copy a folder of the engine's machine; what its `.gitignore` names stays out."""
    wish = await body_of(request, StoreSnapshot)
    return reply(await parts_of(request).experiments.store(wish, user_of(request)), 201)


@router.post(
    "/v1/snapshots/archive",
    status_code=201,
    response_model=SnapshotView,
    openapi_extra={"requestBody": {"required": True, "content": {"application/gzip": {"schema": {"type": "string"}}}}},
)
async def store_archive(request: Request, experiment: Annotated[ExperimentName | None, Query()] = None) -> Response:
    """Keep a folder that the client packed as `.tar.gz`: the body is the archive, streamed to disk."""
    stored = await parts_of(request).experiments.store_archive(request.stream(), experiment, user_of(request))
    return reply(stored, 201)


@router.get("/v1/jobs", response_model=Window[JobView])
async def list_jobs(request: Request, limit: Limit = 50, offset: Offset = 0) -> Response:
    """Jobs, newest first."""
    return reply(await parts_of(request).reads.jobs(limit=limit, offset=offset))


@router.get("/v1/jobs/{job_id}", response_model=JobView)
async def get_job(request: Request, job_id: str) -> Response:
    job = await parts_of(request).reads.job(job_id)
    if job is None:
        raise not_found("job", job_id)
    return reply(job)


@router.get("/v1/jobs/{job_id}/phases", response_model=list[PhaseView])
async def job_phases(request: Request, job_id: str) -> Response:
    """A job's phases in the order of its graph."""
    reads = parts_of(request).reads
    if await reads.job(job_id) is None:
        raise not_found("job", job_id)
    return reply_list(await reads.job_phases(job_id))


@router.get("/v1/phases", response_model=Window[PhaseView])
async def list_phases(
    request: Request,
    job_id: Annotated[str | None, Query(max_length=128)] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """The phases of all jobs that have not ended; with `job_id` those of one job, in the order of its graph."""
    reads = parts_of(request).reads
    if job_id is None:
        return reply(await reads.phases(limit=limit, offset=offset))
    seq = parts_of(request).hub.newest
    found = await reads.job_phases(job_id)
    rows = found[offset : offset + limit]
    return reply(Window[PhaseView](rows=rows, total=len(found), limit=limit, offset=offset, seq=seq))


@router.get("/v1/costs", response_model=CostsView)
async def costs(
    request: Request, by: Annotated[Literal["model", "provider", "job", "phase", "agent", "day"], Query()] = "model"
) -> Response:
    """What the models cost, in US dollars, added up by one of the call's facts."""
    return reply(await parts_of(request).reads.costs(by))


@router.get("/v1/approvals", response_model=Window[ApprovalView])
async def approvals(
    request: Request,
    state: Annotated[str | None, Query(max_length=32)] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Response:
    """Questions to a person, newest first."""
    return reply(await parts_of(request).reads.approvals(state=state, limit=limit, offset=offset))
