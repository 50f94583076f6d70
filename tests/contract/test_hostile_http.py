"""What is no request, or hardly one: answered in the one format, on both listeners, and never at the engine's cost."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPResponse
from urllib.parse import urlsplit

import psutil
import pytest
import websockets
from websockets.sync.client import connect

from tests.engine_process import EngineProcess

pytestmark = pytest.mark.live

Answer = tuple[int, dict[str, str], dict[str, str]]


@pytest.fixture(params=["TCP", "UNIX"])
def line(request: pytest.FixtureRequest, shared_engine: EngineProcess) -> Iterator[socket.socket]:
    facts = shared_engine.facts()
    if request.param == "UNIX":
        made = socket.socket(socket.AF_UNIX)
        made.connect(facts["socket"])
    else:
        where = urlsplit(facts["url"])
        made = socket.create_connection((where.hostname, where.port))
    made.settimeout(20)
    with closing(made):
        yield made


def answer_to(line: socket.socket) -> Answer:
    """Status, headers and body of the answer, after which the engine closes."""
    raw = b""
    while piece := line.recv(65536):
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (found.partition(": ") for found in rest)}
    return int(first.split()[1]), headers, json.loads(body)


def is_ours(answer: Answer, status: int) -> None:
    assert answer[0] == status
    assert answer[2]["code"] == "BAD_REQUEST"
    assert answer[2]["trace_id"] == answer[1]["x-trace-id"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /a path HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_our_format(
    line: socket.socket, sent: bytes, shared_engine: EngineProcess
) -> None:
    line.sendall(sent)
    answer = answer_to(line)
    is_ours(answer, 400)
    assert answer[2]["trace_id"] in (shared_engine.home / "logs" / "engine.log").read_text()


def test_a_head_without_an_end_is_cut(line: socket.socket, shared_engine: EngineProcess) -> None:
    engine = psutil.Process(shared_engine.pid)
    before = engine.memory_info().rss
    line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    endless = (b"X: " + b"a" * (1 << 20) + b"\r\n") * 64
    with pytest.raises(OSError, match=r"reset|[Bb]roken"):
        line.sendall(endless)
    assert engine.memory_info().rss - before < 16 << 20


def test_a_head_that_is_too_large_hears_so(line: socket.socket) -> None:
    line.sendall(b"GET /" + b"a" * 150_000)
    is_ours(answer_to(line), 431)


def test_a_body_may_be_larger_than_a_head(line: socket.socket, shared_engine: EngineProcess) -> None:
    key = (shared_engine.home / "key").read_text().strip()
    for size in (200_000, 2_000_000):
        head = f"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {size}\r\n\r\n"
        line.sendall(head.encode() + b'{"job_name": "large"}'.ljust(size))
        with closing(HTTPResponse(line)) as answer:  # read whole: it may come in several pieces
            answer.begin()
            answer.read()
        assert answer.status == 422


@pytest.mark.parametrize(
    "handshake",
    [b"", b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"],
)
def test_half_a_handshake_is_answered_in_our_format(line: socket.socket, handshake: bytes) -> None:
    line.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + handshake + b"\r\n")
    is_ours(answer_to(line), 400)


def test_the_websocket_s_address_says_what_it_is(shared_engine: EngineProcess) -> None:
    with shared_engine.client() as client, pytest.raises(Exception, match="WebSocket") as refused:
        client.get("/ws")
    assert getattr(refused.value, "status", None) == 426


def test_a_websocket_that_is_not_there_is_refused_in_our_format(shared_engine: EngineProcess) -> None:
    key = (shared_engine.home / "key").read_text().strip()
    url = shared_engine.facts()["url"].replace("http", "ws") + "/v1/nowhere"
    with pytest.raises(websockets.InvalidStatus) as refused:
        connect(url, additional_headers={"X-API-Key": key})
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["code"] == "NOT_FOUND"
    assert "ERROR" not in (shared_engine.home / "logs" / "engine.log").read_text()
