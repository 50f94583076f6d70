"""What `engine doctor` says on machines that are well, and on ones that are not."""

import json
import os
import resource
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from engine import doctor, machine
from engine.doctor import access, devices, storage, system
from engine.doctor.finding import Finding, State, fail, ok
from engine.settings import Home, Settings
from engine.store.database import Database

MOUNTS = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:50 / {} rw - {} server:/x rw\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", port=0)


@pytest.fixture
def home(settings: Settings) -> Home:
    home = Home(settings.home)
    home.create()
    return home


def with_port(settings: Settings, port: int, host: str = "127.0.0.1") -> Settings:
    return settings.model_copy(update={"port": port, "host": host})


def test_a_sound_machine_has_nothing_that_fails(
    settings: Settings, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    Database.open(f"sqlite:///{home.database}").close()
    assert doctor.report(settings, as_json=False) == 0
    shown = capsys.readouterr().out
    for name, _ in doctor.CHECKS:
        assert f" {name} " in shown
    assert "✗" not in shown
    assert "dataset_max_gb = 100.0" in shown


def test_json_says_the_same(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    secret = settings.model_copy(update={"database_url": "postgresql://me:secret@host/db"})
    assert doctor.report(secret, as_json=True) == 0
    shown = capsys.readouterr().out
    answer = json.loads(shown)
    assert answer["ok"] is True
    assert [finding["name"] for finding in answer["findings"]] == [name for name, _ in doctor.CHECKS]
    assert "secret" not in shown


def test_one_failure_is_the_exit_code_and_has_an_advice(
    settings: Settings, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.key.write_text("key")
    home.key.chmod(0o644)
    assert doctor.report(settings, as_json=False) == 1
    shown = capsys.readouterr().out
    assert "✗ fail  permissions" in shown
    assert f"-> run: chmod 600 {home.key}" in shown


def test_a_check_that_breaks_does_not_take_the_others_along(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Settings) -> Finding:
        raise RuntimeError("boom")

    monkeypatch.setattr(doctor, "CHECKS", (("one", broken), ("two", lambda _: ok("two", "well"))))
    first, second = doctor.examine(settings)
    assert first == fail("one", "the check itself broke: RuntimeError: boom", "report this")
    assert second.state is State.OK


def test_no_room(settings: Settings) -> None:
    finding = storage.disk(settings.model_copy(update={"disk_reserve_mb": 1 << 40}))
    assert finding.state is State.FAIL
    assert "no task starts" in finding.found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_can_not_be_written(settings: Settings, home: Home) -> None:
    home.root.chmod(0o500)
    assert storage.disk(settings).state is State.FAIL


@pytest.mark.parametrize(
    ("kind", "state"), [("nfs4", State.FAIL), ("fuse.sshfs", State.FAIL), ("tmpfs", State.WARN), ("xfs", State.OK)]
)
def test_the_database_belongs_on_a_local_disk(settings: Settings, tmp_path: Path, kind: str, state: State) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(tmp_path, kind))
    finding = storage.filesystem(settings, mounts)
    assert finding.state is state
    assert kind in finding.found


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 34, 1), State.FAIL),
        ((3, 40, 1), State.WARN),
        ((3, 51, 2), State.WARN),
        ((3, 51, 3), State.OK),
    ],
)
def test_sqlite(version: tuple[int, ...], state: State) -> None:
    assert storage.sqlite(version).state is state


def make_damaged(home: Home) -> None:
    home.database.write_bytes(b"SQLite format 3\x00" + b"\xff" * 8192)


def make_foreign(home: Home) -> None:
    home.database.write_text("not a database")


def make_newer(home: Home) -> None:
    Database.open(f"sqlite:///{home.database}").close()
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from the future'")
    connection.close()


@pytest.mark.parametrize("make", [make_damaged, make_foreign, make_newer])
def test_a_database_that_will_not_do_is_named_and_left_alone(
    settings: Settings, home: Home, make: Callable[[Home], None]
) -> None:
    make(home)
    before = home.database.read_bytes()
    finding = storage.database(settings)
    assert finding.state is State.FAIL
    assert str(home.database) in finding.found
    assert finding.advice
    assert home.database.read_bytes() == before


def test_a_database_that_is_in_use_is_sound(settings: Settings, home: Home) -> None:
    assert "none yet" in storage.database(settings).found
    database = Database.open(f"sqlite:///{home.database}")
    finding = storage.database(settings)
    database.close()
    assert finding.state is State.OK
    assert finding.found.startswith("sound")


@pytest.mark.parametrize("name", ["root", "key", "socket"])
def test_what_others_could_read_fails(settings: Settings, home: Home, name: str) -> None:
    assert access.permissions(settings).state is State.OK
    path: Path = getattr(home, name)
    if not path.exists():
        path.touch(0o600)
    path.chmod(0o750 if path.is_dir() else 0o640)
    finding = access.permissions(settings)
    assert finding.state is State.FAIL
    assert finding.advice == f"run: chmod {700 if path.is_dir() else 600} {path}"


def test_a_home_with_too_long_a_path(settings: Settings, tmp_path: Path) -> None:
    assert access.sockets(Settings(home=Path("/h"))).state is State.OK
    finding = access.sockets(Settings(home=tmp_path / ("x" * 120)))
    assert finding.state is State.FAIL
    assert "107" in finding.found


def test_a_port_that_is_taken_says_by_whom(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finding = access.port(with_port(settings, port))
    assert finding.state is State.FAIL
    assert f"127.0.0.1:{port} is taken" in finding.found
    assert f"(pid {os.getpid()})" in finding.found
    assert access.port(with_port(settings, port)).state is State.OK


@pytest.mark.parametrize(
    ("host", "state"),
    [("127.0.0.1", State.OK), ("0.0.0.0", State.WARN), ("no such host", State.FAIL)],  # noqa: S104
)
def test_the_host(settings: Settings, host: str, state: State) -> None:
    assert access.port(with_port(settings, 0, host)).state is state


def test_the_keeper(settings: Settings, home: Home) -> None:
    assert access.keeper(settings).found.startswith("not running")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.keeper_socket))
        assert access.keeper(settings).state is State.OK
        listener.listen()
        assert access.keeper(settings).found == "running"


def test_a_clock_before_the_files(settings: Settings, home: Home) -> None:
    home.engine_file.write_text("{}")
    at = home.engine_file.stat().st_mtime
    finding = system.clock(settings, at - 3600)
    assert finding.state is State.FAIL
    assert "before the newest file" in finding.found
    assert system.clock(settings, 1000.0).state is State.FAIL
    assert system.clock(settings, at + 10).state is not State.FAIL


@pytest.mark.parametrize(("soft", "state"), [(256, State.FAIL), (1024, State.WARN), (65536, State.OK)])
def test_few_open_files(monkeypatch: pytest.MonkeyPatch, soft: int, state: State) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, 65536))
    assert system.files().state is state


@pytest.mark.parametrize(("most", "state"), [("32", State.FAIL), ("500", State.WARN), ("max", State.OK)])
def test_few_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: str, state: State) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "mountinfo").write_text(f"30 1 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "pids.max").write_text(most)
    assert system.processes(tmp_path).state is state


def test_promises_beyond_the_machine(settings: Settings) -> None:
    assert system.cgroups(settings).state is State.OK
    assert "cpu promises" in system.cgroups(settings.model_copy(update={"cpu": 4096})).found
    assert "memory_gb promises" in system.cgroups(settings.model_copy(update={"memory_gb": 1 << 20})).found
    told = system.cgroups(settings, machine.Limits(2, 1.5, 3 << 30)).found
    assert "version 2, limits: 1.5 cores and 3 GB of memory" in told


def test_a_gpu_that_is_promised_but_not_there(settings: Settings) -> None:
    finding = devices.gpu(settings.model_copy(update={"gpus": [97]}))
    assert finding.state is State.WARN
    assert "97" in finding.found


def test_gpus_whose_driver_does_not_answer(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", tuple)
    assert devices.gpu(settings, tmp_path).state is State.OK
    (tmp_path / "nvidia0").touch()
    assert devices.gpu(settings, tmp_path).state is State.WARN


def test_gpus_are_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: (machine.Gpu(0, "GPU-a", "NVIDIA H200", 139 << 30),))
    monkeypatch.setattr(machine, "driver_version", lambda: "570.1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpu(settings).found == "driver 570.1: 0 NVIDIA H200 (139 GB); tasks may take: 0"


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """A server on a UNIX socket that answers /version with what it is given."""
    path = tmp_path / "docker.sock"
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answers[0])))
            self.end_headers()
            self.wfile.write(answers[0])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = UnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def answer(content: bytes) -> str:
        answers[:] = [content]
        return f"unix://{path}"

    yield answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b'{"Version": "20.10.24", "ApiVersion": "1.41"}', State.OK),
        (b'{"Version": "1.0", "ApiVersion": "1.12"}', State.FAIL),
        (b"[]", State.WARN),
        (b"nonsense", State.WARN),
        (b'{"ApiVersion": "x"}', State.WARN),
    ],
)
def test_docker(docker: Callable[[bytes], str], content: bytes, state: State) -> None:
    assert devices.docker({"DOCKER_HOST": docker(content)}).state is state


def test_docker_that_is_not_there_or_does_not_answer(tmp_path: Path) -> None:
    gone = devices.docker({"DOCKER_HOST": f"unix://{tmp_path}/gone"})
    assert (gone.state, "none at" in gone.found) == (State.OK, True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "dead"))
        dead = devices.docker({"DOCKER_HOST": f"unix://{tmp_path}/dead"})
    assert (dead.state, "connection refused" in dead.found) == (State.WARN, True)
    assert devices.docker({"DOCKER_HOST": "tcp://host:2375"}).state is State.OK
