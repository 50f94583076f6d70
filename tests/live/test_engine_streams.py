"""What the engine tells as it happens: events over the WebSocket, output over server-sent events, bytes in ranges."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from console.client import Client
from tests.conftest import MakeEngine
from tests.engine_process import EngineProcess, wait_for

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def client(shared_engine: EngineProcess) -> Iterator[Client]:
    with shared_engine.client() as client:
        yield client


@pytest.fixture(scope="module")
def http(shared_engine: EngineProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_engine.facts()["url"], headers=headers(shared_engine), timeout=20) as client:
        yield client


def headers(engine: EngineProcess) -> dict[str, str]:
    return {"X-API-Key": (engine.home / "key").read_text().strip()}


def follow(engine: EngineProcess, query: str = "", key: str | None = None) -> ClientConnection:
    address = engine.facts()["url"].replace("http", "ws", 1) + "/ws" + query
    return connect(address, additional_headers={"X-API-Key": key} if key else headers(engine), max_size=None)


def heard(stream: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(stream.recv(timeout=20))
    return message


def told_until_closed(stream: ClientConnection) -> None:
    while True:
        assert heard(stream)["kind"] != "key.revoked"


def run(client: Client, *command: str) -> str:
    task: dict[str, Any] = client.post("/v1/tasks", {"job_name": "streamed", "command": list(command)})
    return str(task["id"])


def story_of(stream: ClientConnection, task_id: str) -> list[dict[str, Any]]:
    """The task's messages up to its end."""
    messages: list[dict[str, Any]] = []
    while not messages or messages[-1]["type"] != "task_complete":
        message = heard(stream)
        if message["subject"] == task_id:
            messages.append(message)
    return messages


def test_a_task_s_life_in_the_contract_s_messages(shared_engine: EngineProcess, client: Client) -> None:
    with follow(shared_engine) as stream:
        task_id = run(client, "true")
        story = story_of(stream, task_id)
    assert [message["data"]["state"] for message in story] == ["queued", "preparing", "running", "completed"]
    assert [message["type"] for message in story] == ["task_update"] * 3 + ["task_complete"]
    assert [message["status"] for message in story] == ["queued", "preparing", "running", "completed"]
    assert {message["task_id"] for message in story} == {task_id}
    numbers = [message["seq"] for message in story]
    assert numbers == sorted(numbers)


def test_since_replays_what_was_missed(shared_engine: EngineProcess, client: Client) -> None:
    before = client.get("/v1/queue")["seq"]
    task_id = run(client, "true")
    wait_for(client, task_id)
    with follow(shared_engine, f"?since={before}") as stream:
        replayed = story_of(stream, task_id)
        assert replayed[0]["seq"] > before
        assert replayed[-1]["data"]["state"] == "completed"


def test_a_replay_has_no_gap_and_nothing_twice(shared_engine: EngineProcess, client: Client) -> None:
    for _ in range(5):
        wait_for(client, run(client, "true"))
    newest = client.get("/v1/queue")["seq"]
    with follow(shared_engine, "?since=0") as stream:
        seen = [heard(stream)["seq"] for _ in range(newest)]
    assert seen == list(range(1, newest + 1))


def test_topics_narrow_the_stream(shared_engine: EngineProcess, client: Client) -> None:
    with follow(shared_engine, "?topics=queue") as stream:
        run(client, "true")
        client.post("/v1/queue/pause", {"reason": "a look"})
        client.post("/v1/queue/resume")
        assert [heard(stream)["kind"] for _ in range(2)] == ["queue.paused", "queue.resumed"]


def test_many_messages_in_one_frame(shared_engine: EngineProcess, client: Client) -> None:
    newest = client.get("/v1/queue")["seq"]
    with follow(shared_engine, "?since=0&batch=1") as stream:
        frames: list[list[dict[str, Any]]] = []
        while not frames or frames[-1][-1]["seq"] < newest:
            frames.append(json.loads(stream.recv(timeout=20)))
    assert [message["seq"] for frame in frames for message in frame][:newest] == list(range(1, newest + 1))
    assert len(frames) < newest


def test_a_reader_that_fell_behind_is_told_and_misses_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine(CPU="1")
    with follow(engine) as stream, engine.client(60) as client:
        before = client.get("/v1/queue")["seq"]
        client.post("/v1/queue/pause")
        many = [{"job_name": "many", "command": ["true"], "metadata": {"filler": "x" * 200}}] * 5000
        for _ in range(3):
            client.post("/v1/tasks/batch", {"tasks": many})
        newest = client.get("/v1/queue")["seq"]
        numbers: list[int] = []
        notices = 0
        while not numbers or numbers[-1] < newest:
            message = heard(stream)
            if message["type"] == "lagged":
                notices += 1
                assert message["seq"] == numbers[-1]
                assert message["data"]["missing"] == 0
            elif message["type"] != "ping":
                numbers.append(message["seq"])
    assert numbers == list(range(before + 1, newest + 1))
    assert notices >= 1


def test_a_pong_is_welcome_and_nonsense_does_no_harm(shared_engine: EngineProcess, client: Client) -> None:
    with follow(shared_engine) as stream:
        stream.send("pong")
        stream.send('{"type": "pong"}')
        stream.send(b"\x00\xff")
        stream.send("{{{")
        assert story_of(stream, run(client, "true"))


@pytest.mark.parametrize(("query", "status"), [("?since=soon", 400), ("?since=-1", 400), ("?since=" + "9" * 40, 400)])
def test_a_bad_cursor_is_refused(shared_engine: EngineProcess, query: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, follow(shared_engine, query):
        pass
    assert refused.value.response.status_code == status
    assert b"since" in refused.value.response.body


def test_a_cursor_from_the_future_is_told_where_the_stream_is(shared_engine: EngineProcess) -> None:
    with follow(shared_engine, "?since=999999999") as stream:
        assert heard(stream)["type"] == "lagged"


def test_no_key_no_stream(shared_engine: EngineProcess) -> None:
    with pytest.raises(InvalidStatus) as refused, follow(shared_engine, key="nobody"):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["code"] == "UNAUTHORIZED"


def test_a_browser_carries_its_key_in_the_address(shared_engine: EngineProcess, client: Client) -> None:
    key = headers(shared_engine)["X-API-Key"]
    address = shared_engine.facts()["url"].replace("http", "ws", 1)
    with connect(f"{address}/ws?token={key}&since=0&topics=key") as stream:
        assert heard(stream)["seq"] == 1
    log = (shared_engine.home / "logs" / "engine.log").read_text()
    assert key not in log


def test_a_revoked_key_ends_its_stream(shared_engine: EngineProcess, client: Client) -> None:
    made = client.post("/v1/keys", {"name": "guest", "role": "viewer"})
    with follow(shared_engine, key=made["key"]) as stream:
        client.delete(f"/v1/keys/{made['id']}")
        with pytest.raises(ConnectionClosed) as closed:
            told_until_closed(stream)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_the_log_streams_until_the_task_ends(shared_engine: EngineProcess, client: Client, http: httpx.Client) -> None:
    go = shared_engine.home / "go-on"
    task_id = run(client, "sh", "-c", f"echo first; while [ ! -e {go} ]; do sleep 0.02; done; echo last; exit 3")
    wait_for(client, task_id, "running")
    text, events = "", []
    with http.stream("GET", f"/v1/tasks/{task_id}/logs/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for event, data, number in server_sent(answer):
            events.append((event, number))
            if event == "log":
                text += data["text"]
                go.touch()
            if event == "end":
                assert data == {"state": "failed", "exit_code": 3}
                break
    assert text == "first\nlast\n"
    go.unlink()
    resumed = http.get(f"/v1/tasks/{task_id}/logs/stream", headers={"Last-Event-ID": events[0][1] or ""})
    assert "last" in resumed.text
    assert "first" not in resumed.text


def server_sent(answer: httpx.Response) -> Iterator[tuple[str, Any, str | None]]:
    event, data, number = "", "", None
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            data = value
        elif name == "id":
            number = value
        elif not line and event:
            yield event, json.loads(data), number
            event, data, number = "", "", None


def test_windows_and_ranges_of_a_log(client: Client, http: httpx.Client, tmp_path: Path) -> None:
    task_id = run(client, "sh", "-c", "seq 1 1000")
    wait_for(client, task_id)
    whole = "".join(f"{n}\n" for n in range(1, 1001))
    window = http.get(f"/v1/tasks/{task_id}/logs").json()
    assert (window["text"], window["size"], window["ended"]) == (whole, len(whole), True)
    part = http.get(f"/v1/tasks/{task_id}/logs?offset=4&limit=10").json()
    assert (part["text"], part["offset"], part["next_offset"]) == (whole[4:14], 4, 14)
    tail = http.get(f"/v1/tasks/{task_id}/logs?tail=12").json()
    assert whole.endswith(tail["text"])
    assert len(tail["text"]) <= 12
    assert whole[tail["offset"] - 1] == "\n"
    raw = http.get(f"/v1/tasks/{task_id}/logs/raw", headers={"Range": "bytes=-5"})
    assert (raw.status_code, raw.text) == (206, "1000\n")
    assert http.get(f"/v1/tasks/{task_id}/logs/raw", headers={"Range": "bytes=99999-"}).status_code == 416


def test_what_a_task_leaves_can_be_fetched(client: Client, http: httpx.Client) -> None:
    task_id = run(client, "sh", "-c", 'printf weights > "$SHOPFLOOR_OUTPUT/model.bin"')
    wait_for(client, task_id)
    (artifact,) = http.get(f"/v1/tasks/{task_id}/artifacts").json()
    assert (artifact["path"], artifact["bytes"]) == ("model.bin", 7)
    content = http.get(f"/v1/tasks/{task_id}/artifacts/{artifact['id']}/content")
    assert content.content == b"weights"


def test_metrics_count_what_happened(client: Client, http: httpx.Client) -> None:
    wait_for(client, run(client, "true"))
    text = http.get("/metrics").text
    assert 'shopfloor_tasks{state="completed"}' in text
    assert 'route="/v1/tasks",status="201"' in text
    assert "shopfloor_capacity" in text
