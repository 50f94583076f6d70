"""What an attempt printed: windows of text, ranges of bytes, and a stream that ends with the attempt."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from engine.api.contracts.worker import require_task
from engine.api.errors import bad_parameter, not_found
from engine.api.files import file_reply
from engine.api.openapi import gives
from engine.api.parts import Parts, parts_of
from engine.api.replies import reply
from engine.events import Lagged, Subscription
from engine.output import LARGEST, SMALLEST, Window
from engine.protocol.states import ENDED, LIVE, TaskState
from engine.protocol.tasks import LogWindow, TaskView

router = APIRouter(tags=["logs"])

_SIGN_OF_LIFE_S: Final = 20.0
_SIGN_OF_LIFE: Final = b": still here\n\n"

Attempt = Annotated[int | None, Query(ge=1, le=2**31)]
Offset = Annotated[int, Query(ge=0, le=2**62)]
Size = Annotated[int, Query(ge=SMALLEST, le=LARGEST)]


@router.get("/v1/tasks/{task_id}/logs", response_model=LogWindow)
async def window(
    request: Request,
    task_id: str,
    *,
    attempt: Attempt = None,
    offset: Offset = 0,
    limit: Size = 65536,
    tail: Annotated[int | None, Query(ge=SMALLEST, le=LARGEST)] = None,
) -> Response:
    """At most `limit` bytes from `offset` on; or with `tail` the last so many bytes, from the start of a line on."""
    parts = parts_of(request)
    task = await require_task(parts, task_id)
    number = _attempt(task, attempt)
    ended = _is_over(task.state, task.attempt, number)
    if tail is None:
        found = await parts.output.window(task_id, number, offset, limit, ended=ended)
    else:
        found = await parts.output.tail(task_id, number, tail, ended=ended)
    return reply(
        LogWindow(
            task_id=task_id,
            attempt=number,
            offset=found.offset,
            next_offset=found.next_offset,
            size=found.size,
            text=found.text,
            ended=ended,
        )
    )


@router.get("/v1/tasks/{task_id}/logs/raw", response_class=Response, responses=gives("text/plain", ranges=True))
async def raw(request: Request, task_id: str, attempt: Attempt = None) -> Response:
    """The bytes as they were printed; honours `Range`."""
    parts = parts_of(request)
    number = _attempt(await require_task(parts, task_id), attempt)
    path = parts.output.path(task_id, number)
    if not parts.output.size(task_id, number):
        return Response(media_type="text/plain; charset=utf-8")
    return await file_reply(request, path.parent, path.name, "text/plain; charset=utf-8", inline=True)


@router.get("/v1/tasks/{task_id}/logs/stream", response_class=Response, responses=gives("text/event-stream"))
async def stream(request: Request, task_id: str, attempt: Attempt = None, offset: Offset = 0) -> Response:
    """Server-sent events: `log` with `offset`, `next_offset` and `text`, and `end` with the `state` and `exit_code`.

    An event's id is the offset behind its text, so that a reader who lost the connection goes on with `Last-Event-ID`.
    A stream that ends without `end` was cut by the engine's own end: it is to be asked for again.
    """
    parts = parts_of(request)
    follower = _Follower(parts, task_id, _resumed(request, offset))
    await follower.open(attempt)
    return StreamingResponse(follower.events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


class _Follower:
    """Follows one attempt's output until the engine's events say that the attempt is over."""

    def __init__(self, parts: Parts, task_id: str, offset: int) -> None:
        self._parts = parts
        self._task_id = task_id
        self._offset = offset
        self._number = 0
        self._over = asyncio.Event()
        self._cut = False
        self._subscription: Subscription

    async def open(self, attempt: int | None) -> None:
        """Raises Refusal when there is no such task or attempt."""
        # subscribed before the task is read: an end that comes in between is not missed
        self._subscription = self._parts.hub.subscribe(None, [f"task:{self._task_id}"])
        task = await require_task(self._parts, self._task_id)
        self._number = _attempt(task, attempt)
        self._note(task.state, task.attempt)

    async def events(self) -> AsyncIterator[bytes]:
        """The stream's bytes."""
        watching = asyncio.create_task(self._watch())
        windows = self._parts.output.follow(self._task_id, self._number, self._offset, self._over)
        coming: asyncio.Task[Window | None] = asyncio.create_task(_next(windows))
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=_SIGN_OF_LIFE_S)
                if not done:
                    yield _SIGN_OF_LIFE
                    continue
                found = coming.result()
                if found is None:
                    break
                yield _log(found)
                coming = asyncio.create_task(_next(windows))
            if not self._cut:
                yield await self._end()
        finally:
            watching.cancel()
            coming.cancel()
            await asyncio.wait([watching, coming])

    async def _watch(self) -> None:
        async with self._subscription as subscription:
            async for item in subscription:
                if isinstance(item, Lagged):
                    task = await require_task(self._parts, self._task_id)
                    self._note(task.state, task.attempt)
                elif (state := item.data.get("state")) is not None:
                    self._note(TaskState(state), item.data["attempt"])
        if not self._over.is_set():
            self._cut = True
            self._over.set()

    def _note(self, state: TaskState, attempt: int) -> None:
        if _is_over(state, attempt, self._number):
            self._over.set()

    async def _end(self) -> bytes:
        task = await require_task(self._parts, self._task_id)
        attempts = await self._parts.reads.attempts(self._task_id)
        exit_code = next((row.exit_code for row in attempts if row.number == self._number), None)
        return _event("end", {"state": task.state, "exit_code": exit_code})


async def _next(windows: AsyncIterator[Window]) -> Window | None:
    return await anext(windows, None)


def _attempt(task: TaskView, asked: int | None) -> int:
    """The attempt that is meant: the newest one, or the first of a task that has not started."""
    newest = max(task.attempt, 1)
    if asked is not None and asked > newest:
        raise not_found("attempt", f"{asked} of task {task.id}; it has {task.attempt}")
    return asked or newest


def _is_over(state: TaskState, attempt: int, number: int) -> bool:
    return state in ENDED or attempt > number or (attempt == number and state not in LIVE)


def _resumed(request: Request, offset: int) -> int:
    last = request.headers.get("last-event-id")
    if not last:
        return offset
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        raise bad_parameter("Last-Event-ID", last, "the id of an event of this stream")
    return int(last)


def _log(found: Window) -> bytes:
    data = {"offset": found.offset, "next_offset": found.next_offset, "text": found.text}
    return _event("log", data, found.next_offset)


def _event(name: str, data: dict[str, object], number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"
