"""The one door: a request gets a trace id, shows its key, is counted against its limits, and fails in one format."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.api.auth import OPEN_PATHS, may, role_needed, secret_of
from engine.api.errors import Refusal, internal_error
from engine.api.limits import Allowance, RateLimiter
from engine.control.experiments import ARCHIVE_BYTES
from engine.control.keys import Keys, Principal
from engine.protocol.states import ErrorCode

log = logging.getLogger(__name__)

BODY_LIMIT: Final = 16 << 20
_LIMITS: Final[Mapping[str, int]] = {"/v1/snapshots/archive": ARCHIVE_BYTES}
_FAILURES_PER_MINUTE: Final = 60
_REFUSED: Final = 400
_SHOWN: Final = 300
_NO_KEY: Final = "Invalid or missing API key"


@dataclass(slots=True)
class RequestCounts:
    """What `/metrics` tells of the HTTP side. Keys are method, route and status; times in seconds."""

    answered: dict[tuple[str, str, int], int] = field(default_factory=dict)
    seconds: dict[tuple[str, str, int], float] = field(default_factory=dict)
    sockets: int = 0

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        key = (scope["method"] if route != "(none)" else "(any)", route, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        self.seconds[key] = self.seconds.get(key, 0.0) + seconds


class Gate:
    """Stands before the application.

    `local` in the scope's state says that a request came over the home's UNIX socket; there, the local operator's own
    key has no rate limit.
    """

    def __init__(self, app: ASGIApp, keys: Keys, limiter: RateLimiter, counts: RequestCounts) -> None:
        self._app = app
        self._keys = keys
        self._limiter = limiter
        self._failures = RateLimiter(_FAILURES_PER_MINUTE, _FAILURES_PER_MINUTE * 60)
        self._counts = counts
        self._date = b""
        self._date_at = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        trace_id = state["trace_id"] = str(uuid4())
        if scope["type"] == "http":
            await self._http(scope, receive, send, trace_id)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send, trace_id)

    async def _http(self, scope: Scope, receive: Receive, send: Send, trace_id: str) -> None:
        began = time.perf_counter()
        status = 0
        bodyless = scope["method"] == "HEAD"
        if bodyless:  # what can be read can be asked for its headers
            scope = {**scope, "method": "GET"}
        added = [(b"x-trace-id", trace_id.encode()), (b"date", self._now())]

        async def deliver(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *added]
                await send(message)
                if bodyless:
                    await send({"type": "http.response.body", "body": b""})
            elif not bodyless:
                await send(message)

        try:
            allowance = self._admit(scope)
            if allowance is not None:
                added += _rate_headers(allowance)
            await self._app(scope, _bounded(scope, receive), deliver)
        except Refusal as refusal:
            scope["state"]["refused"] = refusal.message
            if not status:
                await refusal.response(trace_id)(scope, receive, deliver)
        except (ClientDisconnect, ConnectionError):
            log.debug("the client left before its answer was written [trace %s]", trace_id)
        except Exception:
            log.exception("%s %s failed [trace %s]", scope["method"], scope["path"], trace_id)
            if not status:
                await internal_error().response(trace_id)(scope, receive, deliver)
        finally:
            self._counts.add(scope, status, time.perf_counter() - began)
            if status >= _REFUSED:
                _note(scope, "HEAD" if bodyless else scope["method"], status, trace_id)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, trace_id: str) -> None:
        refused: Refusal | None = None
        try:
            _check_origin(scope)
            self._admit(scope)
        except Refusal as refusal:
            refused = refusal
        if refused is not None:
            await refuse_socket(refused, scope, receive, send)
            return
        self._counts.sockets += 1
        try:
            await self._app(scope, receive, send)
        except OSError:
            log.debug("a WebSocket's client left [trace %s]", trace_id)
        except Exception:
            log.exception("%s failed [trace %s]", scope["path"], trace_id)
            await send({"type": "websocket.close", "code": 1011})
        finally:
            self._counts.sockets -= 1

    def _admit(self, scope: Scope) -> Allowance | None:
        """Let the request in, or raise Refusal. None where no limit applies."""
        path: str = scope["path"]
        if path in OPEN_PATHS:
            return None
        principal = self._principal(scope)
        scope["state"]["principal"] = principal
        allowance = None
        if not (principal.local and scope["state"].get("local")):
            allowance = self._limiter.take(principal.key_id)
            if not allowance.allowed:
                raise _too_many(allowance)
        needed = role_needed(scope.get("method", "GET"), path)
        if not may(principal.role, needed):
            raise Refusal(
                ErrorCode.FORBIDDEN,
                f"This needs a key with the role {needed.value}; this key's role is {principal.role.value}",
            )
        return allowance

    def _principal(self, scope: Scope) -> Principal:
        query = scope["query_string"] if scope["type"] == "websocket" else None
        secret = secret_of(scope["headers"], query)
        principal = self._keys.find(secret) if secret is not None else None
        if principal is None:
            peer = scope.get("client")
            allowance = self._failures.take(peer[0] if peer else "local")
            if not allowance.allowed:
                raise _too_many(allowance)
            raise Refusal(ErrorCode.UNAUTHORIZED, _NO_KEY, headers={"WWW-Authenticate": "Bearer"})
        return principal

    def _now(self) -> bytes:
        """The Date header, made once a second and only while requests come."""
        now = int(time.time())
        if now != self._date_at:
            self._date_at = now
            self._date = formatdate(now, usegmt=True).encode()
        return self._date


async def refuse_socket(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's handshake with an error over HTTP."""
    await receive()
    trace_id: str = scope["state"]["trace_id"]
    scope["state"]["refused"] = refusal.message
    _note(scope, "WebSocket", refusal.http_status, trace_id)
    body = refusal.body(trace_id)
    headers = {"Content-Type": "application/json", "X-Trace-Id": trace_id, **(refusal.headers or {})}
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refusal.http_status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "websocket.http.response.body", "body": body})


def _note(scope: Scope, method: str, status: int, trace_id: str) -> None:
    """The line that support finds by the trace id of a client's error. Never the query: it may hold a key."""
    principal: Principal | None = scope["state"].get("principal")
    who = f"{principal.name!a}" if principal is not None else "nobody known"
    path = quote(scope["path"][:_SHOWN])
    why = ascii(scope["state"].get("refused", ""))[:_SHOWN]
    log.info("%s %s of %s was answered %d %s [trace %s]", method, path, who, status, why, trace_id)


def _too_many(allowance: Allowance) -> Refusal:
    headers = {name.decode(): value.decode() for name, value in _rate_headers(allowance)}
    headers["Retry-After"] = str(allowance.reset_s)
    return Refusal(ErrorCode.RATE_LIMITED, "Rate limit exceeded", headers=headers)


def _rate_headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-ratelimit-limit", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset", b"%d" % allowance.reset_s),
    ]


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Refuse a body that is too large: by its declared length, or as it comes in."""
    limit = _LIMITS.get(scope["path"], BODY_LIMIT)
    declared = _header(scope, b"content-length")
    if declared is not None and declared.isdigit():
        if int(declared) > limit:
            raise _too_large(limit)
        return receive
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> Refusal:
    return Refusal(ErrorCode.BAD_REQUEST, f"The body is too large: at most {limit >> 20} MiB are read here", status=413)


def _check_origin(scope: Scope) -> None:
    """A page of another site may not open our WebSocket in a person's browser."""
    origin = _header(scope, b"origin")
    if origin is None:
        return
    host = _header(scope, b"host") or b""
    if urlsplit(origin.decode("latin-1")).netloc != host.decode("latin-1"):
        raise Refusal(ErrorCode.FORBIDDEN, "Pages of another origin may not connect here")


def _header(scope: Mapping[str, Any], wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            found: bytes = value
            return found
    return None
