"""A stop is a matter of seconds, whatever the engine's clients, its keeper or its disk do meanwhile."""

import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine_process import EngineProcess, processes_of, short_home, wait_for


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess(short_home(), {"CPU": "4"})
    yield process
    process.end()


def ask(engine: EngineProcess, head: str) -> socket.socket:
    """Send a request and read nothing of its answer."""
    endpoint = engine.endpoint()
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(endpoint.socket))
    client.sendall(f"{head}\r\nHost: localhost\r\nX-API-Key: {endpoint.key}\r\n".encode())
    return client


def test_clients_that_do_not_read_or_do_not_finish_hold_up_no_stop(engine: EngineProcess) -> None:
    engine.start()
    client = engine.client()
    script = "import sys; sys.stdout.write('x' * 20_000_000); sys.stdout.flush(); import time; time.sleep(100)"
    task = client.post("/v1/tasks", {"job_name": "much", "command": [sys.executable, "-c", script]})["id"]
    wait_for(client, task, "running")
    client.close()
    stalled = [
        ask(engine, f"GET /v1/tasks/{task}/logs/stream HTTP/1.1"),
        ask(engine, f"GET /v1/tasks/{task}/logs/raw HTTP/1.1"),
        ask(engine, "POST /v1/tasks HTTP/1.1"),
        ask(engine, "GET /ws?since=0 HTTP/1.1"),
    ]
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
    for each, rest in zip(stalled, ["", "", "Content-Length: 100\r\n", f"{upgrade}\r\n"], strict=True):
        nonce = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if "Upgrade" in rest else ""
        each.sendall(f"{rest}{nonce}\r\n".encode())
    for each in (stalled[0], stalled[1], stalled[3]):
        assert select.select([each], [], [], 10)[0]
    began = time.monotonic()
    code = engine.stop()
    for each in stalled:
        each.close()
    assert code == 0
    assert time.monotonic() - began < 3
    assert "Traceback" not in engine.log.read_text()


def test_an_engine_that_waits_for_a_stuck_keeper_ends_when_it_is_told_to(engine: EngineProcess) -> None:
    engine.start()
    client = engine.client()
    task = client.post("/v1/tasks", {"job_name": "long", "command": ["sleep", "100"]})["id"]
    wait_for(client, task, "running")
    client.close()
    assert engine.stop() == 0
    keeper = next(process for process in processes_of(engine.home) if "keeper" in " ".join(process.cmdline()))
    keeper.send_signal(signal.SIGSTOP)
    engine.start(until_ready=False)
    assert engine.process is not None
    log = engine.home / "logs" / "engine.log"
    while not (engine.home / "engine.sock").exists():  # from then on it heeds signals
        assert engine.process.poll() is None, log.read_text()
        select.select([], [], [], 0.02)
    select.select([], [], [], 0.3)
    began = time.monotonic()
    assert engine.stop() == 0
    assert time.monotonic() - began < 3
    keeper.send_signal(signal.SIGCONT)
    engine.start()
    client = engine.client()
    assert wait_for(client, task, "running")["attempt"] == 1
    client.close()


def test_a_stop_that_something_holds_up_is_cut_short_and_says_where(tmp_path: Path) -> None:
    script = """
import logging, pathlib, sys, time
from engine.patience import out_of_time
from engine.settings import Home
logging.basicConfig()
out_of_time(0.1, Home(pathlib.Path(sys.argv[1])))
def held_up_here():
    time.sleep(30)
held_up_here()
"""
    (tmp_path / "engine.json").write_text("{}")
    command = [sys.executable, "-c", script, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert "held_up_here" in ended.stderr
    assert not (tmp_path / "engine.json").exists()


def test_a_home_that_no_one_may_look_into_is_named_and_not_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    engine = EngineProcess(tmp_path / "file" / "home")
    for command in ("start", "status"):
        ended = subprocess.run(
            [sys.executable, "-m", "engine", command],
            env=engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in {1, 3}
        assert "Traceback" not in ended.stderr
        assert "file/home" in ended.stderr
