"""Who is asking, and what a request needs. Every route passes here; a new one is guarded without being named."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs

from engine.protocol.states import Role

OPEN_PATHS: Final = frozenset({"/health", "/openapi.json", "/docs"})
"""Served without a key: the health report and the description of the API, which hold nothing of anyone's work."""

_RANK: Final = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def role_needed(method: str, path: str) -> Role:
    """Keys are an admin's; reading is a viewer's; everything else changes work and is an operator's."""
    if path == "/v1/keys" or path.startswith("/v1/keys/"):
        return Role.ADMIN
    return Role.VIEWER if method in _READS else Role.OPERATOR


def may(role: Role, needed: Role) -> bool:
    """Whether a key of `role` may do what needs `needed`."""
    return _RANK[role] >= _RANK[needed]


def secret_of(headers: Iterable[tuple[bytes, bytes]], query: bytes | None = None) -> str | None:
    """The key that a request carries: `X-API-Key`, else `Authorization: Bearer`, else `?token=` where `query` is given.

    Only `/ws` passes its query: an address ends up in logs and histories, and only a browser's WebSocket has no other
    way. None when there is no key, or one that can't be text.
    """
    bearer: bytes | None = None
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip() or None
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            bearer = value[7:].strip()
    if bearer:
        return bearer.decode("latin-1")
    if query:
        token = parse_qs(query.decode("latin-1")).get("token")
        if token:
            return token[0]
    return None
