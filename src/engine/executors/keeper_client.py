"""The engine's end of the keeper's socket: finding it, starting it, speaking with it."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from engine.executors.keeper.frames import PROTOCOL, BadFrameError, Unpacker, pack
from engine.settings import Home

if TYPE_CHECKING:
    from engine.executors.keeper.frames import Message

_SCRIPT = Path(__file__).parent / "keeper" / "__main__.py"
_START_S = 20.0
ANSWER_S = 10.0
"""A keeper that says nothing for so long is stuck: stopped by someone, most likely."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 1.0


class KeeperError(Exception):
    """The keeper of this home can't be reached or started; the message says why."""


class KeeperLink(asyncio.Protocol):
    """One connection. `heard` gets all messages of a piece at once, `lost` is called when the keeper is gone."""

    def __init__(self, heard: Callable[[list[Message]], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._unpacker = Unpacker()
        self._transport: asyncio.WriteTransport | None = None
        self.over = False
        self.keeper_pid: int | None = None
        self.welcome: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self.say([("hello", PROTOCOL)])

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._unpacker.feed(data)
        except BadFrameError:
            if self._transport is not None:
                self._transport.abort()
            return
        if messages and messages[0][0] == "welcome" and not self.welcome.done():
            self.welcome.set_result(messages.pop(0))
        if messages:
            self._heard(messages)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.welcome.done():
            self.welcome.cancel()
        elif not self.over:
            self.over = True
            self._lost()

    def say(self, messages: Sequence[Message]) -> None:
        if self._transport is not None:
            self._transport.write(pack(messages))

    def hang_up(self) -> None:
        self.over = True
        if self._transport is not None:
            self._transport.close()


async def connect(home: Home, heard: Callable[[list[Message]], None], lost: Callable[[], None]) -> KeeperLink:
    """A connection to the keeper of `home`, which is started when none answers. Raises `KeeperError`."""
    deadline = asyncio.get_running_loop().time() + _START_S
    pause = _FIRST_PAUSE_S
    while True:
        link = await _knock(home, heard, lost)
        if link is not None:
            return link
        await asyncio.to_thread(_start, home)
        link = await _knock(home, heard, lost)
        if link is not None:
            return link
        if asyncio.get_running_loop().time() > deadline:
            raise KeeperError(f"no keeper answers after {_START_S:.0f} s; logs/keeper.log in the home folder says why")
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


async def _knock(home: Home, heard: Callable[[list[Message]], None], lost: Callable[[], None]) -> KeeperLink | None:
    connection = _dial(home.keeper_socket)
    if connection is None:
        return None
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(lambda: KeeperLink(heard, lost), sock=connection)
    try:
        await asyncio.wait([link.welcome], timeout=ANSWER_S)
    finally:
        if not link.welcome.done():
            link.hang_up()
    if not link.welcome.done():
        raise KeeperError(stuck(home))
    if link.welcome.cancelled():
        return None
    _, protocol, its_version, link.keeper_pid = link.welcome.result()
    if protocol != PROTOCOL:
        link.hang_up()
        raise KeeperError(
            f"the keeper that runs speaks protocol {protocol}, this engine {PROTOCOL}: "
            "let the engine it belongs to finish its tasks, then start this one"
        )
    if its_version != version():
        # It goes as soon as nothing is left to keep; the next one is then of our version.
        link.say([("retire",)])
    return link


def stuck(home: Home) -> str:
    """What to say of a keeper that is there and does not answer."""
    return (
        f"the keeper of {home.root} does not answer within {ANSWER_S:g} s; it may have been stopped (kill -CONT lets "
        "it go on). Tasks that it runs survive it: it may also be ended with kill -KILL"
    )


@functools.cache
def version() -> str:
    """A fingerprint of the keeper's source: after an upgrade, the one that runs is not the one we would start."""
    digest = 0
    for file in sorted(_SCRIPT.parent.glob("*.py")):
        digest = zlib.crc32(file.read_bytes(), digest)
    return f"{digest:08x}"


def _dial(path: Path) -> socket.socket | None:
    """Connect through the folder's descriptor, since the address of a socket holds 108 bytes and no more."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except OSError:
        connection.close()
        return None
    connection.setblocking(False)
    return connection


def _start(home: Home) -> None:
    home.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(_SCRIPT), "start", str(home.root.resolve()), version()]
    try:
        # Returns 1 when another keeper came first: the next knock finds that one.
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=_START_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KeeperError(f"the keeper can't be started: {error}") from error
