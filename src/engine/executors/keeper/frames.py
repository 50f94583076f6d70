"""What travels between engine and keeper: a length of 4 bytes (little endian), then a marshalled list of messages.

A message is a tuple that starts with its word. From the engine:
`("hello", protocol)`, `("adopt", keys)`, `("launch", key, command, environment, cwd, output)`,
`("cancel", key, grace_s)`, `("forget", keys)`, `("retire",)`. From the keeper:
`("welcome", protocol, version, pid)`, `("adopted", keys)`, `("started", key, pid, at)`,
`("ended", key, at, exit_code, signal, lost, refused)`.

marshal, because it is four times as fast as JSON and part of the interpreter; both ends are ours and run as one user.
"""

from __future__ import annotations

import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = tuple[Any, ...]

PROTOCOL = 1
LARGEST = 64 * 1024 * 1024
_MARSHAL_VERSION = 2


class BadFrameError(Exception):
    """The other side does not speak this protocol."""


def pack(messages: Sequence[Message]) -> bytes:
    body = marshal.dumps(list(messages), _MARSHAL_VERSION)
    if len(body) > LARGEST:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {LARGEST}")
    return len(body).to_bytes(4, "little") + body


class Unpacker:
    """Puts messages together again from whatever pieces the socket hands over."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises `BadFrameError`; the connection is of no use after that."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        at = 0
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "little")
            if size > LARGEST:
                raise BadFrameError(f"a frame of {size} bytes")
            end = at + 4 + size
            if len(buffer) < end:
                break
            messages += _unmarshal(buffer[at + 4 : end])
            at = end
        del buffer[:at]
        return messages


def _unmarshal(body: bytearray) -> list[Message]:
    try:
        messages = marshal.loads(body)  # noqa: S302 - the peer is this user's own process (SO_PEERCRED)
    except (EOFError, ValueError, TypeError) as error:
        raise BadFrameError(str(error)) from error
    if not isinstance(messages, list) or not all(isinstance(each, tuple) and each for each in messages):
        raise BadFrameError("not a list of messages")
    return messages
