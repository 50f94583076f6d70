"""The engine as a process: starting, stopping, what it leaves, and what it says when it can't start."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from tests.conftest import MakeEngine
from tests.engine_process import EngineProcess, until, wait_for

pytestmark = pytest.mark.live


def run(engine: EngineProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`shopfloor engine ...` on the engine's home."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        env={**engine.environment, **environment},
        cwd=engine.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_engine_json_says_where_it_is_and_goes_at_a_clean_stop(engine: EngineProcess) -> None:
    facts = engine.facts()
    assert set(facts) == {"pid", "url", "socket", "version", "started_at"}
    assert facts["pid"] == engine.pid
    home = engine.home
    assert (home / "engine.sock").stat().st_mode & 0o777 == 0o600
    assert (home / "key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert engine.stop() == 0
    assert not (home / "engine.json").exists()
    assert not (home / "engine.sock").exists()


def test_a_second_engine_on_the_same_home_is_refused(engine: EngineProcess) -> None:
    second = run(engine, "run")
    assert second.returncode == 1
    assert f"pid {engine.pid}" in second.stderr
    assert engine.facts()["url"] in second.stderr
    assert "Traceback" not in second.stderr
    with engine.client() as client:
        assert client.get("/v1/status")["pid"] == engine.pid


def test_a_port_in_use_is_named(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run(engine, "run", f"--port={port}")
    assert refused.returncode == 1
    assert f"port: {port} on 127.0.0.1 is in use" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("environment", "flags", "expected"),
    [
        ({"SHOPFLOOR_PORT": "many"}, [], "SHOPFLOOR_PORT is 'many'"),
        ({"SHOPFLOOR_ON_STOP": "hide"}, [], "SHOPFLOOR_ON_STOP is 'hide'"),
        ({"SHOPFLOOR_GPUS": "all"}, [], "SHOPFLOOR_GPUS is 'all'"),
        ({"SHOPFLOOR_CONTRACTS__WORKER__RATE_PER_MINUTE": "0"}, [], "SHOPFLOOR_CONTRACTS__WORKER__RATE_PER_MINUTE"),
        ({"SHOPFLOOR_OPEN": "yes"}, ["--host=0.0.0.0"], "SHOPFLOOR_OPEN: only on a loopback address"),
        ({}, ["--port=99999"], "--port is 99999"),
        ({}, ["--cpu=-1"], "--cpu is -1"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(
    make_engine: MakeEngine, environment: dict[str, str], flags: list[str], expected: str
) -> None:
    engine = make_engine(start=False)
    refused = run(engine, "run", *flags, **environment)
    assert refused.returncode == 2
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"port = 'many'", "port"),
        (b"port = ", "not TOML"),
        (b"priority = [", "not TOML"),
        (b"cpus = 2\n[console]\ntheme = 'paper'\n", "cpus: there is no such setting; did you mean cpu?"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_bad_settings_file_is_named(make_engine: MakeEngine, content: bytes, expected: str) -> None:
    engine = make_engine(start=False)
    file = Path(engine.environment["XDG_CONFIG_HOME"]) / "shopfloor" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    del engine.environment["SHOPFLOOR_PORT"]
    refused = run(engine, "run")
    assert refused.returncode == 2
    assert str(file) in refused.stderr
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_worker_contract_also_gets_a_port_of_its_own(make_engine: MakeEngine) -> None:
    import httpx

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    engine = make_engine(CONTRACTS__WORKER__PORT=str(port))
    assert httpx.get(f"http://127.0.0.1:{port}/health").json()["status"] == "healthy"
    assert engine.facts()["url"] != f"http://127.0.0.1:{port}"


def test_open_streams_do_not_delay_a_stop(engine: EngineProcess) -> None:
    import httpx

    with engine.client() as client:
        task = client.post("/v1/tasks", {"job_name": "long", "command": ["sleep", "600"]})
        wait_for(client, task["id"], "running")
    key = (engine.home / "key").read_text().strip()
    address = f"{engine.facts()['url']}/v1/tasks/{task['id']}/logs/stream"
    with client_events(engine) as heard, httpx.stream("GET", address, headers={"X-API-Key": key}) as log:
        heard.wait_for("engine.started")
        assert engine.stop(within_s=10) == 0
        assert "event: end" not in "".join(log.iter_text())
    assert "Cancel" not in (engine.home / "logs" / "engine.log").read_text()


def test_a_rate_limit_holds_over_tcp_and_not_for_the_operator_s_own_socket(make_engine: MakeEngine) -> None:
    import httpx

    engine = make_engine(CONTRACTS__WORKER__RATE_PER_MINUTE="3")
    key = (engine.home / "key").read_text().strip()
    with httpx.Client(base_url=engine.facts()["url"], headers={"X-API-Key": key}) as http:
        answers = [http.get("/v1/queue") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["code"] == "RATE_LIMITED"
    with engine.client() as client:
        for _ in range(6):
            client.get("/v1/queue")


def test_a_home_that_can_not_be_written_is_named(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    file = engine.home / "file"
    file.touch()
    refused = run(engine, "run", f"--home={file}")
    assert refused.returncode == 1
    assert f"home: {file} can't be used" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_damaged_database_is_named_and_left_as_it_is(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    database = engine.home / "shopfloor.db"
    database.write_bytes(b"not a database" * 1000)
    refused = run(engine, "run")
    assert refused.returncode == 1
    assert str(database) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert database.read_bytes() == b"not a database" * 1000


def test_sigterm_leaves_tasks_to_the_next_engine(engine: EngineProcess) -> None:
    with engine.client() as client:
        task = client.post("/v1/tasks", {"job_name": "long", "command": ["sh", "-c", "sleep 1; echo still here"]})
        wait_for(client, task["id"], "running")
    assert engine.stop() == 0
    engine.start()
    with engine.client() as client:
        done = wait_for(client, task["id"])
        assert (done["state"], done["attempt"]) == ("completed", 1)
        assert done["output"] == "still here\n"


def test_drain_waits_for_what_runs_and_starts_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine(CPU="1")
    go = engine.home / "go"
    with engine.client() as client:
        first = client.post(
            "/v1/tasks", {"job_name": "first", "command": ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done"]}
        )
        wait_for(client, first["id"], "running")
        second = client.post("/v1/tasks", {"job_name": "second", "command": ["true"]})
        assert engine.process is not None
        engine.process.send_signal(signal.SIGUSR1)
        until(client, lambda: client.get("/v1/status")["draining"])
        go.touch()
    assert engine.process.wait(30) == 0
    engine.process = None
    engine.environment["SHOPFLOOR_CPU"] = "0"
    engine.start()
    with engine.client() as client:
        assert client.get(f"/v1/tasks/{first['id']}")["state"] == "completed"
        assert client.get(f"/v1/tasks/{second['id']}")["state"] == "queued"


def test_a_second_signal_ends_a_drain_at_once(make_engine: MakeEngine) -> None:
    engine = make_engine(CPU="1", ON_STOP="drain")
    with engine.client() as client:
        task = client.post("/v1/tasks", {"job_name": "long", "command": ["sleep", "600"]})
        wait_for(client, task["id"], "running")
        assert engine.process is not None
        engine.process.send_signal(signal.SIGTERM)
        with client_events(engine) as heard:
            heard.wait_for("engine.stopping")
    engine.process.send_signal(signal.SIGTERM)
    assert engine.process.wait(30) == 0
    engine.process = None
    engine.start()
    with engine.client() as client:
        assert client.get(f"/v1/tasks/{task['id']}")["state"] == "running"


class client_events:  # noqa: N801 - read as a with-statement
    """The engine's stream from its beginning."""

    def __init__(self, engine: EngineProcess) -> None:
        from websockets.sync.client import unix_connect

        key = (engine.home / "key").read_text().strip()
        self._open = unix_connect(
            str(engine.home / "engine.sock"), "ws://localhost/ws?since=0", additional_headers={"X-API-Key": key}
        )

    def __enter__(self) -> Self:
        self._stream = self._open.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def wait_for(self, kind: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self._stream.recv(timeout=20))
            if message["kind"] == kind:
                return message


def test_start_status_and_stop_in_the_background(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    assert run(engine, "status").returncode == 3
    assert json.loads(run(engine, "status", "--json").stdout)["running"] is False
    assert run(engine, "stop").returncode == 3
    started = run(engine, "start")
    assert started.returncode == 0, started.stderr
    facts = engine.facts()
    assert facts["url"] in started.stdout
    again = run(engine, "start")
    assert again.returncode == 0
    assert f"pid {facts['pid']}" in again.stdout
    status = json.loads(run(engine, "status", "--json").stdout)
    assert (status["running"], status["pid"]) == (True, facts["pid"])
    assert facts["url"] in run(engine, "status").stdout
    assert run(engine, "stop").returncode == 0
    assert not (engine.home / "engine.json").exists()
    assert run(engine, "status").returncode == 3


def test_a_start_that_fails_says_why(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        failed = run(engine, "start", f"--port={taken.getsockname()[1]}")
    assert failed.returncode == 1
    assert "is in use" in failed.stderr


def test_keys_without_an_engine_and_with_one(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    before = run(engine, "keys", "create", "robot", "--role", "viewer").stdout.strip()
    assert before.startswith("sf_")
    engine.start()
    during = json.loads(run(engine, "keys", "create", "second", "--json").stdout)
    listed = json.loads(run(engine, "keys", "list", "--json").stdout)
    assert {row["name"] for row in listed} >= {"robot", "second"}
    assert before not in json.dumps(listed)
    import httpx

    with httpx.Client(base_url=engine.facts()["url"]) as http:
        assert http.get("/v1/queue", headers={"X-API-Key": before}).status_code == 200
        assert http.post("/v1/queue/pause", headers={"X-API-Key": before}).status_code == 403
        assert http.get("/v1/queue", headers={"X-API-Key": during["key"]}).status_code == 200
        assert run(engine, "keys", "revoke", during["id"]).returncode == 0
        assert http.get("/v1/queue", headers={"X-API-Key": during["key"]}).status_code == 401
    assert run(engine, "keys", "revoke", "nobody").returncode == 1


def test_a_killed_engine_leaves_a_home_that_starts_again(engine: EngineProcess) -> None:
    old = engine.facts()
    engine.kill()
    assert run(engine, "status").returncode == 3
    engine.start()
    assert engine.facts()["pid"] != old["pid"]


def test_the_engine_is_small_and_asleep_when_there_is_nothing_to_do(engine: EngineProcess) -> None:
    import psutil

    process = psutil.Process(engine.pid)
    assert process.memory_info().rss < 120 << 20
