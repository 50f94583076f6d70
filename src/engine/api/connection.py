"""One HTTP connection: what never becomes a request is answered in the one format too, and no head grows for ever."""

import logging
from base64 import b64decode
from typing import Final
from uuid import uuid4

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from engine.api.errors import Refusal
from engine.protocol.states import ErrorCode

log = logging.getLogger(__name__)

HEAD_LIMIT: Final = 128 << 10
_NONCE_BYTES: Final = 16


class Connection(HttpToolsProtocol):
    """uvicorn's, with errors of ours and a limit on the line and the headers of a request.

    Of a head those reads are measured that hold nothing else, so it may be larger by what its first and last one bring.
    """

    _in_head = True
    _only_head = True
    _head = 0

    def data_received(self, data: bytes) -> None:
        self._only_head = self._in_head
        super().data_received(data)
        if self._only_head:
            self._head += len(data)
            if self._head > HEAD_LIMIT:
                self._refuse(f"The head of the request is too large: at most {HEAD_LIMIT >> 10} KiB are read", 431)

    def on_headers_complete(self) -> None:
        self._in_head = self._only_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words; ours say what to look at
        self._refuse("This is not valid HTTP/1.1", 400)

    def handle_websocket_upgrade(self) -> None:
        wrong = _handshake_fault(self.scope["method"], dict(self.headers))
        if wrong is not None:
            self._refuse(wrong, 400)
        else:
            super().handle_websocket_upgrade()

    def _refuse(self, message: str, status: int) -> None:
        if self.transport.is_closing():
            return
        trace_id = str(uuid4())
        body = Refusal(ErrorCode.BAD_REQUEST, message).body(trace_id)
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-trace-id: {trace_id}\r\n"
            "connection: close\r\n\r\n"
        )
        log.info("a connection was answered %d %s [trace %s]", status, message, trace_id)
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


class SocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's, which takes a handshake that was answered with an error for one that was never answered."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True


def _handshake_fault(method: str, headers: dict[bytes, bytes]) -> str | None:
    """What is wrong with a WebSocket's handshake; None when it is one."""
    if method != "GET":
        return "A WebSocket is opened with GET"
    if headers.get(b"sec-websocket-version", b"").strip() != b"13":
        return "Sec-WebSocket-Version: must be 13"
    try:
        nonce = b64decode(headers.get(b"sec-websocket-key", b"").strip(), validate=True)
    except ValueError:
        nonce = b""
    if len(nonce) != _NONCE_BYTES:
        return f"Sec-WebSocket-Key: must be {_NONCE_BYTES} bytes in base64"
    return None
