"""What the door lets through, as a client sees it, in front of an application that answers `here`."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from engine.api.auth import may, role_needed, secret_of
from engine.api.gate import BODY_LIMIT, Gate, RequestCounts
from engine.api.limits import RateLimiter
from engine.control.keys import Principal
from engine.protocol.states import Role

PEOPLE = {role: Principal(f"id-{role}", f"name-{role}", role) for role in Role} | {
    "local": Principal("local", "me", Role.ADMIN)
}


@dataclass
class FewKeys:
    """Keys whose secrets are the names of their roles."""

    people: dict[str, Principal] = field(default_factory=lambda: {str(name): who for name, who in PEOPLE.items()})

    def find(self, secret: str) -> Principal | None:
        return self.people.get(secret)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    if request.url.path == "/v1/broken":
        raise ZeroDivisionError("SELECT secret FROM /home/someone")
    body = await request.body()
    await PlainTextResponse(f"here {len(body)}")(scope, receive, send)


def gate(per_minute: int = 1000) -> Gate:
    return Gate(application, FewKeys(), RateLimiter(per_minute, 10_000), RequestCounts())  # type: ignore[arg-type]


def client(door: Gate, *, local: bool = False) -> httpx.AsyncClient:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"local": local}
        await door(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine")


@pytest.fixture
async def asking() -> AsyncIterator[httpx.AsyncClient]:
    async with client(gate()) as found:
        yield found


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": "nobody"}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic viewer"}],
)
async def test_no_key_no_entry(asking: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await asking.get("/v1/tasks", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "UNAUTHORIZED"
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]


@pytest.mark.parametrize("headers", [{"X-API-Key": "viewer"}, {"Authorization": "bearer viewer"}])
async def test_both_headers_carry_a_key(asking: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await asking.get("/v1/tasks", headers=headers)).status_code == 200


async def test_a_key_in_the_address_counts_for_websockets_only(asking: httpx.AsyncClient) -> None:
    assert (await asking.get("/v1/tasks?token=viewer")).status_code == 401
    assert secret_of([], b"since=3&token=viewer") == "viewer"


async def test_health_needs_no_key(asking: httpx.AsyncClient) -> None:
    assert (await asking.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/tasks", Role.VIEWER),
        ("GET", "/metrics", Role.VIEWER),
        ("POST", "/v1/tasks", Role.OPERATOR),
        ("DELETE", "/v1/tasks/abc", Role.OPERATOR),
        ("PUT", "/v1/queue/groups", Role.OPERATOR),
        ("POST", "/v1/anything/new", Role.OPERATOR),
        ("GET", "/v1/keys", Role.ADMIN),
        ("DELETE", "/v1/keys/abc", Role.ADMIN),
    ],
)
async def test_each_role_reaches_what_it_may(asking: httpx.AsyncClient, method: str, path: str, needed: Role) -> None:
    assert role_needed(method, path) is needed
    for role in Role:
        answer = await asking.request(method, path, headers={"X-API-Key": role.value})
        assert (answer.status_code == 200) == may(role, needed)
        if not may(role, needed):
            assert answer.status_code == 403
            assert needed.value in answer.json()["error"]
            assert role.value in answer.json()["error"]


async def test_a_fault_of_ours_says_nothing_but_its_trace(
    asking: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await asking.get("/v1/broken", headers={"X-API-Key": "viewer"})
    assert answer.status_code == 500
    body = answer.json()
    assert body == {"error": "An error occurred", "code": "INTERNAL_ERROR", "trace_id": answer.headers["x-trace-id"]}
    assert body["trace_id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_limit_is_announced_and_held() -> None:
    async with client(gate(per_minute=2)) as asking:
        answers = [await asking.get("/v1/tasks", headers={"X-API-Key": "viewer"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[-1].json()["code"] == "RATE_LIMITED"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert (await asking.get("/v1/tasks", headers={"X-API-Key": "operator"})).status_code == 200


async def test_the_local_operator_is_limited_over_tcp_alone() -> None:
    door = gate(per_minute=1)
    async with client(door, local=True) as here, client(door) as there:
        assert {(await here.get("/v1/tasks", headers={"X-API-Key": "local"})).status_code for _ in range(5)} == {200}
        codes = [(await there.get("/v1/tasks", headers={"X-API-Key": "local"})).status_code for _ in range(2)]
        assert codes == [200, 429]


async def test_guessing_keys_is_slowed_down(asking: httpx.AsyncClient) -> None:
    codes = [(await asking.get("/v1/tasks", headers={"X-API-Key": str(n)})).status_code for n in range(61)]
    assert codes == [401] * 60 + [429]
    assert (await asking.get("/v1/tasks", headers={"X-API-Key": "viewer"})).status_code == 200


async def test_a_body_too_large_is_refused_by_its_declared_length(asking: httpx.AsyncClient) -> None:
    headers = {"X-API-Key": "operator", "Content-Length": str(BODY_LIMIT + 1)}
    answer = await asking.post("/v1/tasks", headers=headers, content=b"{}")
    assert answer.status_code == 413
    assert "16 MiB" in answer.json()["error"]


async def test_a_body_too_large_is_refused_while_it_comes(asking: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(1 << 20)

    answer = await asking.post("/v1/tasks", headers={"X-API-Key": "operator"}, content=endless())
    assert answer.status_code == 413


async def _handshake(headers: list[tuple[bytes, bytes]], query: bytes) -> list[dict[str, Any]]:
    """What a WebSocket's client is answered."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    door = Gate(app, FewKeys(), RateLimiter(10, 10), RequestCounts())  # type: ignore[arg-type]
    scope = {"type": "websocket", "path": "/ws", "headers": headers, "query_string": query, "client": ("1.2.3.4", 5)}
    await door(scope, receive, send)
    return sent


async def test_a_websocket_may_carry_its_key_in_the_address() -> None:
    assert (await _handshake([], b"token=viewer"))[0]["type"] == "websocket.accept"


async def test_a_websocket_without_a_key_gets_an_error_in_our_format() -> None:
    start, body = await _handshake([], b"")
    assert start["status"] == 401
    assert json.loads(body["body"])["code"] == "UNAUTHORIZED"


async def test_a_page_of_another_site_opens_no_websocket() -> None:
    host = (b"host", b"127.0.0.1:9101")
    foreign = await _handshake([host, (b"origin", b"http://evil.example")], b"token=viewer")
    assert foreign[0]["status"] == 403
    own = await _handshake([host, (b"origin", b"http://127.0.0.1:9101")], b"token=viewer")
    assert own[0]["type"] == "websocket.accept"
