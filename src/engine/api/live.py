"""`/ws`: what happens, as it happens, in the worker contract's messages; each carries the event's number."""

import asyncio
from contextlib import suppress
from typing import Final

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from engine.api.errors import Refusal, bad_parameter, not_found
from engine.api.gate import refuse_socket
from engine.api.messages import plain
from engine.api.parts import Parts
from engine.control.keys import Principal
from engine.protocol.states import ErrorCode, MessageType

router = APIRouter()

PING_S: Final = 20.0
_POLICY_VIOLATION: Final = 1008
_SERVICE_RESTART: Final = 1012


@router.websocket("/ws")
async def follow(socket: WebSocket) -> None:
    """Follow the engine's events.

    `since` replays what came after that number, `topics` (comma-separated: `task`, `queue`, `task.failed`, `task:ID`)
    narrows it, `batch=1` packs what is there into one JSON array for each frame.
    """
    parts: Parts = socket.app.state.parts
    try:
        since = _since(socket.query_params)
    except Refusal as refusal:
        await refuse_socket(refusal, socket.scope, socket.receive, socket.send)
        return
    topics = [topic for topic in socket.query_params.get("topics", "").split(",") if topic]
    batched = socket.query_params.get("batch") in {"1", "true"}
    principal: Principal = socket.scope["state"]["principal"]
    await socket.accept()
    with suppress(WebSocketDisconnect):
        await _Conversation(socket, parts, principal, batched).hold(since, topics)


@router.get("/ws", status_code=101, response_class=Response, include_in_schema=False)
async def upgrade() -> Response:
    raise Refusal(
        ErrorCode.BAD_REQUEST,
        "This is a WebSocket: ask with `Upgrade: websocket`",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        status=426,
    )


@router.websocket("/{path:path}")
async def nowhere(socket: WebSocket) -> None:
    """There is no WebSocket but the one above."""
    await refuse_socket(not_found("WebSocket", socket.url.path), socket.scope, socket.receive, socket.send)


class _Conversation:
    """One client. Its place in the stream is all that is kept for it, so a slow one costs nothing."""

    def __init__(self, socket: WebSocket, parts: Parts, principal: Principal, batched: bool) -> None:
        self._socket = socket
        self._parts = parts
        self._principal = principal
        self._batched = batched

    async def hold(self, since: int | None, topics: list[str]) -> None:
        """Talk until one side ends it."""
        sending = asyncio.create_task(self._send(since, topics))
        pinging = asyncio.create_task(self._ping())
        listening = asyncio.create_task(self._listen())
        tasks = {sending, pinging, listening}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            if (error := task.exception()) and not isinstance(error, WebSocketDisconnect | OSError):
                raise error
        await self._close(_SERVICE_RESTART if self._may_stay() else _POLICY_VIOLATION)

    async def _send(self, since: int | None, topics: list[str]) -> None:
        async with self._parts.hub.subscribe(since, topics) as subscription:
            while (found := await subscription.batch()) and self._may_stay():
                texts = [self._parts.messages.text(item) for item in found]
                if self._batched:
                    await self._socket.send_text("[" + ",".join(texts) + "]")
                    continue
                for text in texts:
                    await self._socket.send_text(text)

    async def _ping(self) -> None:
        while self._may_stay():
            await asyncio.sleep(PING_S)
            text = plain(MessageType.PING, self._parts.hub.newest)
            await self._socket.send_text(f"[{text}]" if self._batched else text)

    async def _listen(self) -> None:
        """A `pong` is welcome. Whether a client lives is seen by the WebSocket's own pings."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass

    def _may_stay(self) -> bool:
        return self._parts.keys.is_valid(self._principal.key_id)

    async def _close(self, code: int) -> None:
        if self._socket.client_state is WebSocketState.CONNECTED:
            with suppress(OSError, RuntimeError):
                await self._socket.close(code)


def _since(query: QueryParams) -> int | None:
    given = query.get("since")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise bad_parameter("since", given, "a whole number from 0 on")
    return int(given)
