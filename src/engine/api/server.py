"""uvicorn on several listeners of one loop: TCP and the home's UNIX socket. No tick: an idle server sleeps."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from engine.api.connection import Connection, SocketConnection

_BACKLOG: Final = 1024
_SOCKET_PATH_LIMIT: Final = 107
_PATIENCE_S: Final = 1.0
"""At the stop, how long an answer that is under way may take: a client that does not read would hold it up."""
_GRACE_S: Final = 3
_FRAME_LIMIT: Final = 64 << 10


class ListenError(Exception):
    """An address can't be listened on; the message says which and why."""


def tcp_socket(host: str, port: int) -> socket.socket:
    """Listen on `host`; port 0 picks a free one. Raises ListenError."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ListenError(f"host: {host} is no address of this machine ({error.strerror})") from error
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ListenError(f"port: {port} on {host} is in use by another program; choose another, or 0") from error
        raise ListenError(f"host: can't listen on {host} port {port}: {error.strerror}") from error
    return listener


def unix_socket(path: Path) -> socket.socket:
    """Listen on `path`, for its owner alone. The caller holds the home's lock, so a socket that is there is a dead one.

    Raises ListenError.
    """
    if len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
        raise ListenError(
            f"home: {path} is too long for a socket ({len(os.fsencode(path))} bytes, at most {_SOCKET_PATH_LIMIT}); "
            "choose a SHOPFLOOR_HOME with a shorter path"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ListenError(f"home: can't make the socket {path}: {reason}") from error
    return listener


class HttpServer(uvicorn.Server):
    """Serves `app` on all listeners until `stop`. What comes over the UNIX socket has `local` in its state."""

    def __init__(self, app: ASGIApp, tcp: Sequence[socket.socket], unix: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws=SocketConnection,
                interface="asgi3",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                ws_max_size=_FRAME_LIMIT,
                ws_per_message_deflate=False,
                timeout_keep_alive=120,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._tcp = tcp
        self._unix = unix
        self.ready = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no further connection and end those that are open; `serve` returns then."""
        self.should_exit = True
        self._stopping.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's own
        loop = asyncio.get_running_loop()
        self.servers = [
            *[await loop.create_server(lambda: self._protocol(local=False), sock=tcp) for tcp in self._tcp],
            await loop.create_unix_server(lambda: self._protocol(local=True), sock=self._unix),
        ]
        self.started = True
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        hanging_up = asyncio.get_running_loop().call_later(_PATIENCE_S, self._hang_up)
        try:
            await super().shutdown(sockets)
        finally:
            hanging_up.cancel()

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport  # uvloop's is no asyncio.WriteTransport by its type
            if transport is not None:
                transport.abort()

    async def main_loop(self) -> None:
        """Sleep until the end. uvicorn's own loop wakes ten times a second, for the Date header and limits not used."""
        await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield

    def _protocol(self, local: bool) -> asyncio.Protocol:
        state: dict[str, Any] = {"local": local}
        protocol: Any = self.config.http_protocol_class
        made: asyncio.Protocol = protocol(config=self.config, server_state=self.server_state, app_state=state)
        return made
