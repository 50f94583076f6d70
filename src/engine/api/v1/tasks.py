"""What the native API adds to the contract's tasks."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic_core import to_json
from starlette.responses import Response

from engine.api.contracts.worker import require_task
from engine.api.errors import not_found
from engine.api.files import file_reply
from engine.api.openapi import gives, takes
from engine.api.parts import parts_of, user_of
from engine.api.replies import body_of, event_view, optional_body_of, reply, reply_list
from engine.protocol.events import EventView
from engine.protocol.tasks import (
    ArtifactView,
    AttemptView,
    BulkRequest,
    BulkResult,
    SubmitBatch,
    TaskChange,
    TaskList,
    TaskUsage,
    TaskView,
)

router = APIRouter(tags=["tasks"])


@router.post("/v1/tasks/batch", status_code=201, response_model=TaskList, openapi_extra=takes(SubmitBatch))
async def submit_batch(request: Request) -> Response:
    """Queue many tasks in one transaction: all of them, or none."""
    parts = parts_of(request)
    wish = await body_of(request, SubmitBatch)
    tasks = await parts.tasks.submit(wish.tasks, user_of(request))
    return reply(
        TaskList(tasks=tasks, total=len(tasks), limit=len(tasks), offset=0, seq=parts.hub.newest),
        201,
    )


@router.post("/v1/tasks/cancel", response_model=BulkResult, openapi_extra=takes(BulkRequest))
async def cancel_many(request: Request) -> Response:
    """Cancel the tasks named, or all that match the filter."""
    return reply(await parts_of(request).tasks.cancel_many(await body_of(request, BulkRequest), user_of(request)))


@router.post("/v1/tasks/retry", response_model=BulkResult, openapi_extra=takes(BulkRequest))
async def retry_many(request: Request) -> Response:
    """Run the tasks named again, or all that match the filter."""
    return reply(await parts_of(request).tasks.retry_many(await body_of(request, BulkRequest), user_of(request)))


@router.patch("/v1/tasks/{task_id}", response_model=TaskView, openapi_extra=takes(TaskChange))
async def change_task(request: Request, task_id: str) -> Response:
    """Change a task that has not started."""
    change = await body_of(request, TaskChange)
    return reply(await parts_of(request).tasks.change(task_id, change, user_of(request)))


@router.post("/v1/tasks/{task_id}/retry", response_model=TaskView, openapi_extra=takes(TaskChange, required=False))
async def retry_task(request: Request, task_id: str) -> Response:
    """Run a task that ended again, as a further attempt; the body may change what it asks for."""
    change = await optional_body_of(request, TaskChange)
    return reply(await parts_of(request).tasks.retry(task_id, change, user_of(request)))


@router.get("/v1/tasks/{task_id}/attempts", response_model=list[AttemptView])
async def attempts(request: Request, task_id: str) -> Response:
    """All attempts of a task, the first one first, with the size of each one's output."""
    parts = parts_of(request)
    await require_task(parts, task_id)
    rows = await parts.reads.attempts(task_id)
    return reply_list([row.model_copy(update={"output_bytes": parts.output.size(task_id, row.number)}) for row in rows])


@router.get("/v1/tasks/{task_id}/events", response_model=list[EventView])
async def task_events(
    request: Request,
    task_id: str,
    since: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 1000,
) -> Response:
    """What happened to a task, oldest first."""
    parts = parts_of(request)
    await require_task(parts, task_id)
    found = await parts.reads.events(since=since, limit=limit, subject=task_id)
    return Response(to_json([event_view(event) for event in found]), media_type="application/json")


@router.get("/v1/tasks/{task_id}/artifacts", response_model=list[ArtifactView])
async def artifacts(request: Request, task_id: str) -> Response:
    """The files that a task left in its output folder."""
    parts = parts_of(request)
    await require_task(parts, task_id)
    return reply_list(await parts.reads.artifacts(task_id))


@router.get(
    "/v1/tasks/{task_id}/artifacts/{artifact_id}/content",
    response_class=Response,
    responses=gives("application/octet-stream", ranges=True),
)
async def artifact_content(request: Request, task_id: str, artifact_id: str) -> Response:
    """An artifact's bytes; honours `Range`."""
    parts = parts_of(request)
    found = next((row for row in await parts.reads.artifacts(task_id) if row.id == artifact_id), None)
    if found is None:
        raise not_found("artifact", artifact_id)
    folder = parts.home.attempt(task_id, found.attempt) / "out"
    return await file_reply(request, folder, found.path, "application/octet-stream")


@router.get("/v1/tasks/{task_id}/usage", response_model=TaskUsage)
async def usage(request: Request, task_id: str) -> Response:
    """What the running attempt's processes use now."""
    parts = parts_of(request)
    task = await require_task(parts, task_id)
    return reply(await parts.usage.read(task))
