"""Follows what a task prints, in a thread of its own, on a connection that can be closed at any time."""

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from console.client import Endpoint, EngineGone
from console.sockets import address_of, open_socket

SILENCE_S = 60.0
"""The engine sends a sign of life every 20 s."""

MOST_WAITING = 1 << 20
"""Characters kept for a screen that is slow; of more than that it gets the end, and reads the rest when asked for."""


class Chunk(NamedTuple):
    """Bytes `offset` to `next_offset` of the output."""

    offset: int
    next_offset: int
    text: str


class Tail(threading.Thread):
    """Hands over what is printed from `offset` on: `ring` is called, from this thread, when `take` has something.

    Ends when the attempt has (`ended`), when the connection breaks (`broken`), or when it is closed.
    """

    def __init__(
        self,
        find: Callable[[], Endpoint],
        task_id: str,
        *,
        attempt: int,
        offset: int,
        ring: Callable[[], None],
    ) -> None:
        super().__init__(name=f"log-{task_id}", daemon=True)
        self._find, self._ring = find, ring
        self._path = f"/v1/tasks/{quote(task_id)}/logs/stream?{urlencode({'attempt': attempt, 'offset': offset})}"
        self._lock = threading.Lock()
        self._chunks: deque[Chunk] = deque()
        self._waiting = 0
        self._rung = False
        self._closed = False
        self._sock: socket.socket | None = None
        self.ended = False
        self.broken = False

    def close(self) -> None:
        """Ends the thread at once, whatever it waits for."""
        with self._lock:
            self._closed = True
            if self._sock is not None:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)

    def take(self) -> list[Chunk]:
        """What was printed since the last call. A gap before a chunk is output that was left out."""
        with self._lock:
            chunks = list(self._chunks)
            self._chunks.clear()
            self._waiting, self._rung = 0, False
        return chunks

    def run(self) -> None:
        try:
            self._follow()
        except (EngineGone, OSError, HTTPException, ValueError):
            self.broken = True
        if not self._closed:
            self.broken = self.broken or not self.ended
            self._ring_once()

    def _follow(self) -> None:
        endpoint = self._find()
        with open_socket(endpoint) as sock:
            with self._lock:
                if self._closed:
                    return
                self._sock = sock
            sock.settimeout(SILENCE_S)
            sock.sendall(_request(endpoint, self._path))
            response = HTTPResponse(sock)
            try:
                response.begin()
                if response.status != 200:
                    raise HTTPException(f"{response.status} {response.reason}")
                for event, data in _events(response):
                    self._hear(event, data)
            finally:
                response.close()
                with self._lock:
                    self._sock = None

    def _hear(self, event: str, data: Any) -> None:
        if event == "end":
            self.ended = True
        elif event == "log":
            with self._lock:
                self._chunks.append(Chunk(int(data["offset"]), int(data["next_offset"]), str(data["text"])))
                self._waiting += len(data["text"])
                while self._waiting > MOST_WAITING and len(self._chunks) > 1:
                    self._waiting -= len(self._chunks.popleft().text)
            self._ring_once()

    def _ring_once(self) -> None:
        """Rings, unless what rang before has not been taken yet."""
        with self._lock:
            if self._rung:
                return
            self._rung = True
        self._ring()


def _request(endpoint: Endpoint, path: str) -> bytes:
    address = address_of(endpoint)
    lines = (
        f"GET {address.path.rstrip('/')}{path} HTTP/1.1",
        f"Host: {address.netloc}",
        f"X-API-Key: {endpoint.key}",
        "Accept: text/event-stream",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _events(response: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """(name, JSON) of each event of a `text/event-stream` body."""
    event, data = "", list[str]()
    while line := response.readline():
        name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif not name and not value and data:
            yield event, json.loads("\n".join(data))
            event, data = "", []
