"""The queue and the machine under it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from engine.api.openapi import takes
from engine.api.parts import parts_of, user_of
from engine.api.replies import body_of, optional_body_of, reply
from engine.protocol.machine import GroupLimit, PauseRequest, QueueStats, ResourcesView

router = APIRouter(tags=["queue and machine"])


@router.post("/v1/queue/pause", response_model=QueueStats, openapi_extra=takes(PauseRequest, required=False))
async def pause(request: Request) -> Response:
    """Start no further task; what runs goes on."""
    wish = await optional_body_of(request, PauseRequest) or PauseRequest()
    queue = parts_of(request).queue
    await queue.pause(wish.reason, user_of(request))
    return reply(await queue.stats())


@router.post("/v1/queue/resume", response_model=QueueStats)
async def resume(request: Request) -> Response:
    queue = parts_of(request).queue
    await queue.resume(user_of(request))
    return reply(await queue.stats())


@router.put("/v1/queue/groups", response_model=ResourcesView, openapi_extra=takes(GroupLimit))
async def limit_group(request: Request) -> Response:
    """Set or lift how many tasks of a group may run at once."""
    wish = await body_of(request, GroupLimit)
    queue = parts_of(request).queue
    await queue.limit_group(wish.name, wish.limit, user_of(request))
    return reply(await queue.resources())


@router.get("/v1/resources", response_model=ResourcesView)
async def resources(request: Request) -> Response:
    """What this machine offers the queue and what live tasks have taken of it."""
    return reply(await parts_of(request).queue.resources())
