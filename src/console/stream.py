"""The engine's event stream for a verb: one thread, one socket, no polling.

The screen has a link of its own (`link.py`), which never blocks and reconnects for ever.
"""

import json
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from console.client import Endpoint, EngineGone

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


def messages(
    endpoint: Endpoint, since: int | None = None, topics: str | None = None
) -> Generator[dict[str, Any], None, None]:
    """What `/ws` says, from after `since` on (default: from now), without its pings.

    The first item is `{"type": "open"}`: from there on nothing that happens is missed. Raises `EngineGone`
    when the connection can't be made or breaks.
    """
    from websockets.exceptions import WebSocketException

    try:
        with _opened(endpoint, {"since": since, "topics": topics}) as connection:
            yield {"type": "open"}
            for text in connection:
                message: dict[str, Any] = json.loads(text)
                if message["type"] == "ping":
                    connection.send("pong")
                else:
                    yield message
    except (OSError, WebSocketException) as error:
        raise EngineGone(endpoint.advice()) from error
    raise EngineGone(endpoint.advice())


def lasting_messages(
    endpoint: Endpoint, patience_s: float, since: int | None = None, topics: str | None = None
) -> Iterator[dict[str, Any]]:
    """As `messages`, going on after a break where it stood, while a new connection comes within `patience_s`.

    Each connection begins with `{"type": "open"}`.
    """
    pause, lost_at = _FIRST_PAUSE_S, None
    while True:
        try:
            for message in messages(endpoint, since, topics):
                pause, lost_at = _FIRST_PAUSE_S, None
                since = message.get("seq", since)
                yield message
        except EngineGone:
            now = time.monotonic()
            lost_at = lost_at or now
            if now - lost_at >= patience_s:
                raise
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


def _opened(endpoint: Endpoint, query: Mapping[str, object]) -> "ClientConnection":
    from websockets.sync.client import connect, unix_connect

    target = "/ws?" + urlencode({name: value for name, value in query.items() if value is not None})
    headers = {"X-API-Key": endpoint.key}
    if endpoint.socket is not None:
        return unix_connect(str(endpoint.socket), f"ws://localhost{target}", additional_headers=headers, max_size=None)
    base = (endpoint.url or "").replace("http", "ws", 1)
    return connect(base + target, additional_headers=headers, max_size=None, proxy=None)
