"""The engine itself: how it is, what happened, and what Prometheus wants to know."""

import os
import socket
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from engine.api.openapi import gives
from engine.api.parts import parts_of
from engine.api.replies import event_view, reply
from engine.protocol.events import EventView
from engine.protocol.machine import EngineStatus
from engine.protocol.wire import Window
from engine.store.text import when

router = APIRouter(tags=["engine"])


@router.get("/v1/status", response_model=EngineStatus)
async def status(request: Request) -> Response:
    """Which engine this is, and whether it takes work."""
    parts = parts_of(request)
    return reply(
        EngineStatus(
            worker_id=parts.worker_id,
            version=parts.version,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=when(parts.started_at),
            url=parts.url,
            socket=str(parts.home.socket),
            paused=(await parts.queue.stats()).paused,
            draining=parts.draining(),
            database=parts.database,
            events=parts.hub.newest,
        )
    )


@router.get("/v1/events", response_model=Window[EventView])
async def events(
    request: Request,
    since: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    subject: Annotated[str | None, Query(max_length=128)] = None,
) -> Response:
    """What happened after `since`, oldest first: `offset` of the answer is `since`, `total` what it holds."""
    parts = parts_of(request)
    found = await parts.reads.events(since=since, limit=limit, subject=subject)
    rows = [event_view(event) for event in found]
    window = Window[EventView](rows=rows, total=len(rows), limit=limit, offset=since, seq=parts.hub.newest)
    return Response(window.model_dump_json(), media_type="application/json")


@router.get("/metrics", response_class=Response, responses=gives("text/plain"))
async def metrics(request: Request) -> Response:
    """The state of now in Prometheus' text format."""
    from engine.api.metrics import CONTENT_TYPE, Reading, exposition

    parts = parts_of(request)
    reading = Reading(
        version=parts.version,
        started_at=parts.started_at,
        stats=await parts.queue.stats(),
        resources=await parts.queue.resources(),
        requests=parts.counts,
        newest_event=parts.hub.newest,
    )
    return Response(exposition(reading), media_type=CONTENT_TYPE)
