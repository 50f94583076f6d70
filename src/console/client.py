"""Requests to an engine over its UNIX socket or TCP, with nothing but the standard library.

The console and the verbs share it. Start-up time is a feature, so nothing heavier is imported here.
"""

import json
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlencode, urlsplit

from console.endpoint import Endpoint, EngineGone, find_endpoint

__all__ = [
    "Client",
    "Endpoint",
    "EngineGone",
    "FieldProblem",
    "Refused",
    "ServerSentEvent",
    "find_endpoint",
]

STREAM_SILENCE_S = 90.0
"""A stream that is silent for longer than this is taken for dead; the engine sends a sign of life every 20 s."""

_PIECE = 1 << 18
_KEPT_S = 60.0
"""A connection that was idle for longer is not used again: the engine may be about to close it."""
_NOTHING_THERE = 416
"""The status of a range that begins at or after a file's end."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One bad input that the engine refused: which field, why, and what was given."""

    field: str
    message: str
    value: str | None = None


class Refused(Exception):
    """The engine answered with an error.

    `code` is one of the worker contract's words, `fields` names each bad input, `trace_id` is what the engine's
    log carries too, `retry_after_s` is set when too many requests were sent.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: list[FieldProblem] | None = None,
        trace_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields or []
        self.trace_id = trace_id
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    event: str
    data: str
    id: str | None = None

    def json(self) -> Any:
        return json.loads(self.data)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def _query(values: Mapping[str, object]) -> str:
    """`None` is left out, a list repeats its name, a truth is `true` or `false`."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        several = value if isinstance(value, list | tuple) else (value,)
        pairs.extend((name, _word(one)) for one in several if one is not None)
    return "?" + urlencode(pairs, quote_via=quote) if pairs else ""


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _refusal(status: int, reason: str, body: bytes, retry_after: str | None) -> Refused:
    try:
        facts = json.loads(body)
    except ValueError:
        facts = {}
    if not isinstance(facts, dict):
        facts = {}
    fields = [
        FieldProblem(str(one.get("field", "")), str(one.get("message", "")), one.get("value"))
        for one in facts.get("fields") or []
        if isinstance(one, dict)
    ]
    return Refused(
        status,
        str(facts.get("code", "")),
        str(facts.get("error") or f"{status} {reason}"),
        fields=fields,
        trace_id=str(facts.get("trace_id", "")),
        retry_after_s=float(retry_after) if retry_after and retry_after.isdigit() else None,
    )


class Client:
    """Requests on one kept-alive connection; to be used by one thread at a time.

    Every call raises `EngineGone` when nobody answers in time and `Refused` when the engine says no.
    A request is sent again by itself only where that can't do anything twice.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = 10) -> None:
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._connection: HTTPConnection | None = None
        self._used_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, **query: object) -> Any:
        """The answer's JSON; text where the engine answers with text; `None` where it has no body."""
        return self._ask("GET", path, None, query)

    def post(self, path: str, body: object = None, **query: object) -> Any:
        return self._ask("POST", path, body, query)

    def put(self, path: str, body: object = None, **query: object) -> Any:
        return self._ask("PUT", path, body, query)

    def patch(self, path: str, body: object = None, **query: object) -> Any:
        return self._ask("PATCH", path, body, query)

    def delete(self, path: str, **query: object) -> Any:
        return self._ask("DELETE", path, None, query)

    def upload(self, path: str, body: BinaryIO, content_type: str, **query: object) -> Any:
        """POST a file, from where it stands to its end, without holding it in memory."""
        start = body.tell()
        size = body.seek(0, os.SEEK_END) - start
        body.seek(start)
        headers = {"Content-Type": content_type, "Content-Length": str(size)}
        with Client(self.endpoint, max(self.timeout_s, 300.0)) as apart:
            connection = apart._ready()
            try:
                connection.request("POST", apart._target(path, query), body=body, headers=apart._headers(headers))
                return apart._answer(connection.getresponse())
            except (OSError, HTTPException) as error:
                raise apart._gone(error) from error

    def content(self, path: str, first: int = 0, last: int | None = None, **query: object) -> Iterator[bytes]:
        """A file's bytes from `first` to `last` (its end by default), piece by piece, on a connection of their own."""
        wanted = {"Accept": "*/*", "Range": f"bytes={first}-{'' if last is None else last}"}
        with Client(self.endpoint, self.timeout_s) as apart:
            connection = apart._ready()
            try:
                connection.request("GET", apart._target(path, query), headers=apart._headers(wanted))
                response = connection.getresponse()
                if response.status == _NOTHING_THERE:
                    return
                if response.status >= 400:
                    apart._answer(response)
                while piece := response.read(_PIECE):
                    yield piece
            except (OSError, HTTPException) as error:
                raise apart._gone(error) from error

    def stream(self, path: str, **query: object) -> Iterator[ServerSentEvent]:
        """Server-sent events on a connection of their own, until the engine ends the stream or the iterator is closed.

        Raises `EngineGone` when the stream breaks before its end.
        """
        with Client(self.endpoint, STREAM_SILENCE_S) as apart:
            connection = apart._ready()
            try:
                connection.request(
                    "GET", apart._target(path, query), headers=apart._headers({"Accept": "text/event-stream"})
                )
                response = connection.getresponse()
                if response.status >= 400:
                    apart._answer(response)
                yield from _events(response)
            except (OSError, HTTPException) as error:
                raise apart._gone(error) from error

    def _ask(self, method: str, path: str, body: object, query: Mapping[str, object]) -> Any:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = self._headers({"Content-Type": "application/json"} if content is not None else {})
        target = self._target(path, query)
        kept = self._connection is not None
        try:
            connection = self._ready()
            connection.request(method, target, body=content, headers=headers)
            return self._answer(connection.getresponse())
        except (OSError, HTTPException) as error:
            self.close()
            if not (kept and method == "GET" and not isinstance(error, TimeoutError)):
                raise self._gone(error) from error
        return self._ask(method, path, body, query)

    def _ready(self) -> HTTPConnection:
        """The kept connection, or a new one where the engine has closed it meanwhile."""
        kept = self._connection
        idle_s = time.monotonic() - self._used_at
        if kept is not None and (kept.sock is None or idle_s > _KEPT_S or _is_readable(kept.sock)):
            self.close()
        self._used_at = time.monotonic()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> HTTPConnection:
        if self.endpoint.socket is not None:
            return _UnixConnection(self.endpoint.socket, self.timeout_s)
        address = urlsplit(self.endpoint.url or "")
        if not address.hostname:
            raise EngineGone(self.endpoint.advice())
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        return kind(address.hostname, address.port, timeout=self.timeout_s)

    def _target(self, path: str, query: Mapping[str, object]) -> str:
        below = "" if self.endpoint.socket is not None else urlsplit(self.endpoint.url or "").path.rstrip("/")
        return below + quote(path) + _query(query)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {"X-API-Key": self.endpoint.key, "Accept": "application/json", **more}

    def _answer(self, response: HTTPResponse) -> Any:
        body = response.read()
        if "html" in (response.getheader("Content-Type") or ""):
            where = self.endpoint.url or self.endpoint.socket
            raise EngineGone(
                f"{where} answers {response.status} {response.reason} with a page, as no engine does: "
                "check SHOPFLOOR_URL, and that the engine runs there"
            )
        if response.status >= 400:
            raise _refusal(response.status, response.reason, body, response.getheader("Retry-After"))
        if not body:
            return None
        if "json" not in (response.getheader("Content-Type") or ""):
            return body.decode("utf-8", "replace")
        return json.loads(body)

    def _gone(self, error: Exception) -> EngineGone:
        if isinstance(error, TimeoutError):
            where = self.endpoint.home or self.endpoint.url
            return EngineGone(f"the engine of {where} did not answer within {self.timeout_s:g} s")
        if isinstance(error, PermissionError):
            return EngineGone(f"no permission to speak to the engine at {self.endpoint.socket or self.endpoint.url}")
        return EngineGone(self.endpoint.advice())


def _is_readable(sock: socket.socket) -> bool:
    """Nothing may come on a connection that waits for a request: what does is its end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _events(response: HTTPResponse) -> Iterator[ServerSentEvent]:
    """The events of a `text/event-stream` body, as the HTML standard reads them."""
    event, data, last = "message", list[str](), None
    while line := response.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield ServerSentEvent(event, "\n".join(data), last)
            event, data = "message", []
            continue
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            last = value
