"""The worker contract: its routes, its defaults and its codes, over what the engine does anyway.

The native API lives on the same routes where both say the same thing: its fields stand beside the contract's.
"""

import shutil
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from engine.api.errors import Refusal, not_found
from engine.api.openapi import takes
from engine.api.parts import Parts, parts_of, user_of
from engine.api.replies import body_of, nothing, reply, reply_list
from engine.control.errors import Problem
from engine.protocol.machine import Health, QueueStats
from engine.protocol.states import ErrorCode, WorkerStatus
from engine.protocol.tasks import SubmitTask, TaskList, TaskView
from engine.protocol.work import CreateExperiment, ExperimentView, ServiceView, StartJupyter

router = APIRouter(tags=["worker contract"])

Listed = Literal["queued", "running", "completed", "failed"]


@router.get("/health", summary="Health check", response_model=Health)
async def health(request: Request) -> Response:
    """Whether the engine is well: `degraded` when its disk is nearly full or it is stopping. No key needed."""
    parts = parts_of(request)
    full = shutil.disk_usage(parts.home.root).free < parts.settings.disk_reserve_mb << 20
    status: Literal["healthy", "degraded"] = "degraded" if full or parts.draining() else "healthy"
    return reply(Health(status=status, version=parts.version, timestamp=datetime.now(UTC)))


@router.get("/v1/tasks", summary="List tasks", response_model=TaskList)
async def list_tasks(
    request: Request,
    *,
    status: Annotated[Listed | None, Query()] = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**62)] = 0,
    sort: Annotated[str, Query(max_length=64)] = "order",
    filter: Annotated[str, Query(max_length=1024)] = "",  # noqa: A002 - the name on the wire
) -> Response:
    """A window of the tasks: `sort` is a field, with `-` before it downwards; `filter` takes words, `/regex/`,
    `field:value` and a leading `!`."""
    wanted = None if status is None else WorkerStatus(status)
    return reply(
        await parts_of(request).reads.tasks(status=wanted, filter=filter, sort=sort, limit=limit, offset=offset)
    )


@router.post(
    "/v1/tasks", summary="Create task", status_code=201, response_model=TaskView, openapi_extra=takes(SubmitTask)
)
async def create_task(request: Request) -> Response:
    """Queue a task. It is on disk when the answer comes."""
    wish = await body_of(request, SubmitTask)
    (task,) = await parts_of(request).tasks.submit([wish], user_of(request))
    return reply(task, 201)


@router.get("/v1/tasks/{task_id}", summary="Get task details", response_model=TaskView)
async def get_task(request: Request, task_id: str) -> Response:
    """A task with the end of its output."""
    parts = parts_of(request)
    task = await parts.tasks.show(task_id)
    if task.attempt:
        end = await parts.output.last_text(task.id, task.attempt)
        if end:
            task = task.model_copy(update={"output": end})
    return reply(task)


@router.delete("/v1/tasks/{task_id}", summary="Cancel/delete task", status_code=204, response_class=Response)
async def cancel_task(request: Request, task_id: str) -> Response:
    """Cancel a task. One that has ended already stays as it is, and the answer is the same."""
    try:
        await parts_of(request).tasks.cancel(task_id, user_of(request))
    except Problem as problem:
        if problem.code is not ErrorCode.CONFLICT:
            raise
    return nothing()


@router.get("/v1/queue", summary="Queue status", response_model=QueueStats)
async def queue_stats(request: Request) -> Response:
    return reply(await parts_of(request).queue.stats())


@router.get("/v1/experiments", summary="List experiments", response_model=list[ExperimentView])
async def list_experiments(request: Request) -> Response:
    return reply_list(await parts_of(request).reads.experiments())


@router.post(
    "/v1/experiments",
    summary="Create experiment",
    status_code=201,
    response_model=ExperimentView,
    openapi_extra=takes(CreateExperiment),
)
async def create_experiment(request: Request) -> Response:
    wish = await body_of(request, CreateExperiment)
    return reply(await parts_of(request).experiments.create(wish, user_of(request)), 201)


@router.get("/v1/jupyter/services", summary="List Jupyter services", response_model=list[ServiceView])
async def list_services() -> Response:
    return reply_list([])


@router.post(
    "/v1/jupyter/services",
    summary="Start Jupyter service",
    status_code=201,
    response_model=ServiceView,
    openapi_extra=takes(StartJupyter),
)
async def start_service(request: Request) -> Response:
    await body_of(request, StartJupyter)
    raise Refusal(
        ErrorCode.SERVICE_UNAVAILABLE, "This engine can't start Jupyter services yet: it has no container executor"
    )


@router.delete(
    "/v1/jupyter/services/{service_id}", summary="Stop Jupyter service", status_code=204, response_class=Response
)
async def stop_service(service_id: str) -> Response:
    raise not_found("Jupyter service", service_id)


async def require_task(parts: Parts, task_id: str) -> TaskView:
    """The task of this id; raises Refusal when there is none."""
    task = await parts.reads.task(task_id)
    if task is None:
        raise not_found("task", task_id)
    return task
