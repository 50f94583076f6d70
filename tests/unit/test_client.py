"""The client against a real HTTP server on a UNIX socket and on TCP."""

import io
import json
import select
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any, ClassVar

import pytest

from console.client import Client, Endpoint, EngineGone, Refused, find_endpoint


class _Answers(BaseHTTPRequestHandler):
    """Answers with what it was asked; some paths misbehave."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.seen.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path == "/refused":
            problem = {"field": "priority", "message": "expected 1 to 10", "value": "11"}
            error = {"error": "Validation failed", "code": "VALIDATION_ERROR", "trace_id": "t-1", "fields": [problem]}
            self._send(422, json.dumps(error).encode())
        elif path == "/busy":
            error = {"error": "Rate limit exceeded", "code": "RATE_LIMITED", "trace_id": "t-2"}
            self._send(429, json.dumps(error).encode(), retry_after="7")
        elif path == "/broken":
            self._send(502, b"<html>", kind="text/html")
        elif path == "/nothing":
            self._send(204, b"")
        elif path == "/last":
            self.close_connection = True
            self._send(200, b'"last"')
        elif path == "/dropped":
            self.close_connection = True
        elif path == "/stream":
            self._stream()
        elif path == "/cut":
            self._stream(cut=True)
        elif path == "/file":
            self._send(206, f"{self.headers['Range']}".encode(), kind="application/octet-stream")
        else:
            answer = {
                "method": self.command,
                "path": self.path,
                "key": self.headers["X-API-Key"],
                "body": body.decode(),
                "type": self.headers.get("Content-Type"),
            }
            self._send(200, json.dumps(answer).encode())

    def _send(
        self, status: int, body: bytes, *, kind: str = "application/json", retry_after: str | None = None
    ) -> None:
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def _stream(self, *, cut: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = ': hello\n\nevent: log\nid: 5\ndata: {"text":\ndata: "ä"}\n\ndata: plain\r\n\r\nevent: empty\n\n'
        for piece in (text[:20], text[20:]):
            raw = piece.encode()
            self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.write(b"10\r\nhalf" if cut else b"0\r\n\r\n")
        self.close_connection = cut

    def address_string(self) -> str:
        return "somewhere"

    def log_message(self, *_: Any) -> None:
        """Keep the test's output to itself."""


class _UnixServer(UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("local", 0)


class _ThreadingUnixServer(_UnixServer, ThreadingHTTPServer):
    address_family = UnixStreamServer.address_family

    def server_bind(self) -> None:
        UnixStreamServer.server_bind(self)


@pytest.fixture(params=["tcp", "unix"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    _Answers.seen.clear()
    if request.param == "tcp":
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        found = Endpoint(socket=None, url=f"http://127.0.0.1:{server.server_port}", key="secret")
    else:
        path = tmp_path / "s"
        server = _ThreadingUnixServer(str(path), _Answers)
        found = Endpoint(socket=path, url=None, key="secret", home=tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_query_body_and_key_arrive_as_given(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        answer = client.get("/v1/tasks", filter="name:a b&c", limit=5, nothing=None, batch=True, topics=["x", "y"])
        assert answer["path"] == "/v1/tasks?filter=name%3Aa%20b%26c&limit=5&batch=true&topics=x&topics=y"
        assert answer["key"] == "secret"
        answer = client.post("/v1/tasks", {"job_name": "ü"})
        assert json.loads(answer["body"]) == {"job_name": "ü"}
        assert answer["type"] == "application/json"
        assert client.post("/v1/queue/resume")["body"] == ""
        assert client.delete("/nothing") is None


def test_refusal_carries_all_that_the_engine_said(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        with pytest.raises(Refused) as caught:
            client.post("/refused", {})
        error = caught.value
        assert (error.status, error.code, str(error), error.trace_id) == (
            422,
            "VALIDATION_ERROR",
            "Validation failed",
            "t-1",
        )
        assert [(one.field, one.message, one.value) for one in error.fields] == [("priority", "expected 1 to 10", "11")]
        with pytest.raises(Refused) as caught:
            client.get("/busy")
        assert caught.value.retry_after_s == 7
        with pytest.raises(EngineGone, match="502 Bad Gateway"):  # a proxy's page: no engine is behind it
            client.get("/broken")
        assert client.get("/after")["path"] == "/after", "a refusal leaves the connection usable"


def test_connection_closed_by_the_engine_is_made_again(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        assert client.get("/last") == "last"
        assert client._connection is not None
        select.select([client._connection.sock], [], [], 10)
        assert client.post("/again", {})["method"] == "POST"


def test_a_request_that_may_have_worked_is_not_sent_twice(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        client.get("/first")
        with pytest.raises(EngineGone):
            client.post("/dropped", {})
    assert _Answers.seen.count("POST /dropped") == 1


def test_a_read_on_a_dropped_connection_is_tried_once_more(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        client.get("/first")
        with pytest.raises(EngineGone):
            client.get("/dropped")
    assert _Answers.seen.count("GET /dropped") == 2


def test_stream_gives_events_and_says_when_it_breaks(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        events = list(client.stream("/stream"))
        assert [(one.event, one.id) for one in events] == [("log", "5"), ("message", "5")]
        assert events[0].json() == {"text": "ä"}
        assert events[1].data == "plain"
        with pytest.raises(EngineGone):
            list(client.stream("/cut"))
        with pytest.raises(Refused, match="Validation failed"):
            list(client.stream("/refused"))


def test_content_asks_for_the_range(endpoint: Endpoint) -> None:
    with Client(endpoint) as client:
        assert b"".join(client.content("/file", 10, 20)) == b"bytes=10-20"
        assert b"".join(client.content("/file", 3)) == b"bytes=3-"


def test_upload_sends_from_where_the_file_stands(endpoint: Endpoint) -> None:
    body = io.BytesIO(b"skipped-rest")
    body.seek(8)
    with Client(endpoint) as client:
        answer = client.upload("/up", body, "application/gzip", experiment="e")
    assert (answer["body"], answer["type"], answer["path"]) == ("rest", "application/gzip", "/up?experiment=e")


def test_nobody_there_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineGone, match=r"no engine runs in .*shopfloor engine start"):
        find_endpoint(tmp_path)
    gone = Endpoint(socket=tmp_path / "none.sock", url=None, key="k", home=tmp_path)
    with Client(gone) as client, pytest.raises(EngineGone, match="shopfloor engine start"):
        client.get("/health")


def test_endpoint_of_a_home_and_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "engine.json").write_text(
        json.dumps({"pid": 1, "url": "http://127.0.0.1:9", "socket": f"{tmp_path}/engine.sock"})
    )
    (tmp_path / "key").write_text("local-key\n")
    monkeypatch.delenv("SHOPFLOOR_URL", raising=False)
    monkeypatch.setenv("SHOPFLOOR_HOME", str(tmp_path))
    local = find_endpoint()
    assert (local.socket, local.key, local.is_local) == (tmp_path / "engine.sock", "local-key", True)

    monkeypatch.setenv("SHOPFLOOR_URL", "https://factory.example:9101/")
    with pytest.raises(EngineGone, match="SHOPFLOOR_KEY"):
        find_endpoint()
    monkeypatch.setenv("SHOPFLOOR_KEY", "remote-key")
    remote = find_endpoint()
    assert (remote.url, remote.key, remote.is_local) == ("https://factory.example:9101", "remote-key", False)
    assert find_endpoint(tmp_path).is_local, "a home that is named goes before the environment"

    monkeypatch.setenv("SHOPFLOOR_URL", "factory.example:9101")
    with pytest.raises(EngineGone, match="expected http"):
        find_endpoint()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("engine.json", b"{cut", "engine.json holds no facts about an engine"),
        ("engine.json", b"[1]", "engine.json holds no facts about an engine"),
        ("engine.json", b"\xff\xfe", "engine.json holds no facts about an engine"),
        ("key", b"", "key holds no key"),
        ("key", b"two words", "key holds no key"),
        ("key", b"\xff\xfe", "key holds no key"),
        ("key", None, "key is missing"),
        ("engine.json", None, "no engine runs in .*: start one with"),
    ],
)
def test_a_home_that_is_out_of_order_is_named(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    (tmp_path / "engine.json").write_text('{"socket": "/none", "url": "http://127.0.0.1:9"}')
    (tmp_path / "key").write_text("secret")
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EngineGone, match=says):
        find_endpoint(tmp_path)


@pytest.mark.parametrize(
    ("url", "key", "says"),
    [
        ("http://127.0.0.1:door", "k", "expected http://HOST:PORT"),
        ("http://[::1", "k", "expected http://HOST:PORT"),
        ("ftp://factory.example", "k", "expected http://HOST:PORT"),
        ("http://factory.example", "", "SHOPFLOOR_KEY is empty"),
        ("http://factory.example", "two words", "SHOPFLOOR_KEY is no key"),
        ("http://factory.example", "schlüssel", "SHOPFLOOR_KEY is no key"),
    ],
)
def test_a_remote_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, url: str, key: str, says: str) -> None:
    monkeypatch.setenv("SHOPFLOOR_URL", url)
    monkeypatch.setenv("SHOPFLOOR_KEY", key)
    with pytest.raises(EngineGone, match=says):
        find_endpoint()


def test_a_key_is_taken_without_the_line_end_of_the_file_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPFLOOR_URL", "http://factory.example")
    monkeypatch.setenv("SHOPFLOOR_KEY", "secret\n")
    assert find_endpoint().key == "secret"


def test_home_is_taken_from_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shopfloor").mkdir()
    settings = tmp_path / "shopfloor" / "config.toml"
    settings.write_text('home = "/srv/floor"\n')
    monkeypatch.delenv("SHOPFLOOR_URL", raising=False)
    monkeypatch.delenv("SHOPFLOOR_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(EngineGone, match="no engine runs in /srv/floor"):
        find_endpoint()
    settings.write_text("home = \n")
    with pytest.raises(EngineGone, match=r"config\.toml can't be read"):
        find_endpoint()
