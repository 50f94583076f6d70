"""The keeper's socket: who may come in, and what is on its way to whom."""

from __future__ import annotations

import os
import socket
import struct

from engine.executors.keeper.frames import Unpacker, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

NEVER = float("inf")
_PIECE = 256 * 1024


class Link:
    """One peer. What is said goes out with the next `send`, all of it in one frame.

    `due` is the monotonic time by which to send: 0 is at once, `NEVER` is nothing to send.
    """

    __slots__ = ("_out", "_said", "_socket", "_unpacker", "closed", "due", "stuck")

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._unpacker = Unpacker()
        self._said: list[Sequence[Any]] = []
        self._out = bytearray()
        self.closed = False
        self.due = NEVER
        self.stuck = False  # the socket was full: waiting until it takes more

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[tuple[Any, ...]]:
        """Whole messages. Raises EOFError when the peer is gone."""
        try:
            data = self._socket.recv(_PIECE)
        except BlockingIOError:
            return []
        if not data:
            raise EOFError
        return self._unpacker.feed(data)

    def say(self, message: Sequence[Any], due: float = 0.0) -> None:
        self._said.append(message)
        self.due = min(self.due, due)

    def send(self) -> bool:
        """Send what the socket takes; True when that was all."""
        if self._said:
            self._out += pack([tuple(message) for message in self._said])
            self._said.clear()
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        del self._out[:sent]
        self.due = 0.0 if self._out else NEVER
        return not self._out

    def close(self) -> None:
        self.closed = True
        self._socket.close()


class Door:
    """The listening socket, for this user only."""

    def __init__(self, path: str) -> None:
        self._path = path
        if os.path.lexists(path):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            self._socket.bind(path)
        finally:
            os.umask(before)
        self._socket.listen(16)

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> Iterator[Link]:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid in {os.geteuid(), 0}:
                yield Link(connection)
            else:
                connection.close()

    def close(self) -> None:
        self._socket.close()
        if os.path.lexists(self._path):
            os.unlink(self._path)
