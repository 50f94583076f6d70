"""The thread that follows `/ws`: it answers pings whatever the screen does, and comes back for ever."""

import json
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from console.client import Client, Endpoint, EngineGone, Refused
from console.news import Box, LinkState
from console.sockets import address_of, open_socket

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

SILENCE_S = 50.0
"""The engine sends a sign of life every 20 s: two missed, and the link counts as lost."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
LOOK_EVERY_S = 0.2
"""While there is no engine: how often `engine.json` is looked at, so that a new one is met at once."""

BIGGEST_MESSAGE = 1 << 24


class LinkLost(Exception):
    """The stream ended; the message is for a person."""


class Listener(threading.Thread):
    """Follows the engine's events into `box` and rings; `turn` is told when the link is live and when it is lost."""

    def __init__(
        self,
        find: Callable[[], Endpoint],
        box: Box,
        ring: Callable[[], None],
        turn: Callable[[LinkState], None],
        *,
        since: int | None,
        wake_every_s: float,
    ) -> None:
        super().__init__(name="link-events", daemon=True)
        self._find, self._box, self._ring, self._turn = find, box, ring, turn
        self._seq = since
        self._wake_every_s = wake_every_s
        self._rung_at = 0.0
        self._fresh = False
        self._was_live = False
        self._lost: LinkState | None = None
        self._ended = threading.Event()
        self._bell, self._hear = socket.socketpair()

    def stop(self) -> None:
        """Ends the thread; it is gone within milliseconds unless it is just connecting."""
        if not self._ended.is_set():
            self._ended.set()
            self._bell.close()

    def run(self) -> None:
        tries = 0
        while not self._ended.is_set():
            self._was_live = False
            try:
                self._visit()
            except (LinkLost, EngineGone, Refused, OSError, ValueError) as error:
                self._report(_why(error))
            tries = 0 if self._was_live else tries + 1
            self._wait(tries)
        self._hear.close()

    def _report(self, detail: str) -> None:
        """Tells that the link is lost, once for each reason, with the time when it was first lost."""
        if self._ended.is_set() or (self._lost is not None and self._lost.detail == detail):
            return
        self._lost = LinkState("lost", time.time() if self._lost is None else self._lost.since, detail)
        self._turn(self._lost)

    def _visit(self) -> None:
        """One connection, from its start to its end; ends in an exception unless the thread was told to stop."""
        endpoint = self._find()
        with Client(endpoint) as client:
            status, queue = client.get("/v1/status"), client.get("/v1/queue")
        if not isinstance(status, dict) or not isinstance(queue, dict):
            raise LinkLost("what answers is not a shopfloor engine")
        newest = int(queue.get("seq", 0))
        if self._seq is None:
            self._seq = newest
        elif self._seq > newest:
            # Another store than the one we knew: there is nothing to replay from where we stood.
            self._box.read_again()
            self._seq = newest
        with open_socket(endpoint) as sock:
            protocol = _handshake(sock, endpoint, self._seq)
            self._was_live, self._lost = True, None
            self._turn(LinkState("live", time.time(), "", str(status.get("version", ""))))
            self._follow(sock, protocol)

    def _follow(self, sock: socket.socket, protocol: "ClientProtocol") -> None:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._hear, select.POLLIN)
        heard_at = time.monotonic()
        self._take(protocol)
        while not self._ended.is_set():
            wait_s = max(0.0, self._due_in()) if self._fresh else SILENCE_S
            ready = {fd for fd, _ in poll.poll(0 if _pending(sock) else wait_s * 1000)}
            if sock.fileno() in ready or _pending(sock):
                heard_at = time.monotonic()
                _feed(sock, protocol)
                self._take(protocol)
            elif time.monotonic() - heard_at > SILENCE_S:
                raise LinkLost(f"no sign of the engine for {SILENCE_S:.0f} s")
            if self._fresh and self._due_in() <= 0:
                self._fresh, self._rung_at = False, time.monotonic()
                self._ring()

    def _due_in(self) -> float:
        """Seconds until the screen may be woken again."""
        return self._rung_at + self._wake_every_s - time.monotonic()

    def _take(self, protocol: "ClientProtocol") -> None:
        for message in _messages(protocol):
            kind = message.get("type")
            seq = int(message.get("seq") or 0)
            if kind == "lagged":
                self._box.read_again()
                self._fresh = True
            elif kind != "ping" and (self._seq is None or seq > self._seq):
                self._seq = seq
                self._box.add(message)
                self._fresh = True

    def _wait(self, tries: int) -> None:
        """A moment, longer each time, ended at once when an engine says where it is."""
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(tries, 8))
        until = time.monotonic() + longest * random.uniform(0.7, 1.0)  # noqa: S311
        seen = self._sight()
        while not self._ended.is_set() and (left := until - time.monotonic()) > 0:
            self._ended.wait(min(left, LOOK_EVERY_S))
            now = self._sight()
            if now is not None and now != seen:
                return

    def _sight(self) -> object:
        """What `engine.json` looks like from outside, or None where there is none to look at."""
        try:
            endpoint = self._find()
            if endpoint.home is None:
                return None
            facts = (endpoint.home / "engine.json").stat()
        except (EngineGone, OSError):
            return None
        return facts.st_ino, facts.st_mtime_ns


def _why(error: Exception) -> str:
    if isinstance(error, Refused):
        if error.status in (401, 403):
            return f"the engine refuses this key: {error.message}"
        return f"the engine answers {error.status}: {error.message}"
    if isinstance(error, OSError):
        return f"the connection broke: {error.strerror or error}"
    return str(error)


def _handshake(sock: socket.socket, endpoint: Endpoint, since: int) -> "ClientProtocol":
    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    base = address_of(endpoint)
    scheme = "wss" if base.scheme == "https" else "ws"
    uri = parse_uri(f"{scheme}://{base.netloc}{base.path.rstrip('/')}/ws?{urlencode({'since': since})}")
    protocol = ClientProtocol(uri, max_size=BIGGEST_MESSAGE)
    request = protocol.connect()
    request.headers["X-API-Key"] = endpoint.key
    protocol.send_request(request)
    _flush(sock, protocol)
    while protocol.state.name == "CONNECTING" and protocol.handshake_exc is None:
        _feed(sock, protocol)
    if protocol.handshake_exc is not None:
        raise LinkLost(f"the engine does not open its stream: {protocol.handshake_exc}")
    return protocol


def _feed(sock: socket.socket, protocol: "ClientProtocol") -> None:
    data = sock.recv(1 << 16)
    if data:
        protocol.receive_data(data)
    else:
        protocol.receive_eof()
    _flush(sock, protocol)
    if not data or protocol.close_expected():
        raise LinkLost("the engine closed the connection")


def _flush(sock: socket.socket, protocol: "ClientProtocol") -> None:
    for data in protocol.data_to_send():
        if data:
            sock.sendall(data)


def _pending(sock: socket.socket) -> bool:
    """Bytes that TLS has taken off the wire already: poll does not tell of those."""
    pending = getattr(sock, "pending", None)
    return pending is not None and pending() > 0


def _messages(protocol: "ClientProtocol") -> Iterator[dict[str, Any]]:
    """The JSON objects that arrived. The engine sends each in one frame."""
    from websockets.frames import Frame, Opcode

    for event in protocol.events_received():
        if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            message = json.loads(bytes(event.data))
            if isinstance(message, dict):
                yield message
