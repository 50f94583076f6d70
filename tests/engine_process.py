"""A real engine for a test: a process of its own on a throw-away home, reached as a person's tools reach it."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from asyncinotify import Inotify, Mask

from console.client import Client, Endpoint, find_endpoint

READY_WITHIN_S = 30.0


class EngineProcess:
    """An engine on `home`. `settings` are environment names without their prefix: `{"CPU": "2"}`.

    The home's path is short, since a UNIX socket stands below it. The settings file of whoever runs the tests
    is not seen, nor is any other `SHOPFLOOR_` variable.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SHOPFLOOR_")},
            "XDG_CONFIG_HOME": str(home / "config"),
            "SHOPFLOOR_HOME": str(home),
            "SHOPFLOOR_PORT": "0",
            **{f"SHOPFLOOR_{name}": value for name, value in (settings or {}).items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home / "engine-stderr.log"

    def start(self, *, until_ready: bool = True) -> None:
        """Start the engine; returns when it is ready. Raises `AssertionError` with its last words when it is not."""
        assert self.process is None, "this engine runs already"
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log, Inotify() as watch:
            watch.add_watch(self.home, Mask.CLOSE_WRITE | Mask.MOVED_TO)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine", "run"],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            if until_ready:
                self._wait_until_ready(watch, self.process)

    def _wait_until_ready(self, watch: Inotify, process: subprocess.Popen[bytes]) -> None:
        ended = os.pidfd_open(process.pid)
        watch.sync_timeout = 0
        poll = select.poll()
        poll.register(watch.fd, select.POLLIN)
        poll.register(ended, select.POLLIN)
        deadline = time.monotonic() + READY_WITHIN_S
        try:
            while self.facts().get("pid") != process.pid:
                left = deadline - time.monotonic()
                ready = poll.poll(max(left, 0) * 1000)
                gone = process.poll() is not None
                if not ready or gone:
                    self.process = None
                    process.kill()
                    process.wait()
                    why = f"it exited with {process.returncode}" if gone else f"not ready in {READY_WITHIN_S:g} s"
                    raise AssertionError(f"the engine did not start ({why}):\n{self.log.read_text()[-4000:]}")
                while watch.sync_get() is not None:
                    pass
        finally:
            os.close(ended)

    def facts(self) -> dict[str, Any]:
        """What `engine.json` says; empty while there is none."""
        try:
            facts: dict[str, Any] = json.loads((self.home / "engine.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return facts

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def endpoint(self) -> Endpoint:
        return find_endpoint(self.home)

    def client(self, timeout_s: float = 20) -> Client:
        return Client(self.endpoint(), timeout_s)

    def kill(self) -> None:
        """As a crash would end it: at once, with nothing tidied up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM, then its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        self.process = None
        return code

    def shopfloor(self, *arguments: str, check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the `shopfloor` command against this engine."""
        return subprocess.run(
            [sys.executable, "-m", "console.cli", *arguments],
            env={**self.environment, **options.pop("env", {})},
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 60),
            check=check,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def end(self) -> None:
        """Leave nothing behind: the engine, its keeper and whatever they started go, and so does the home."""
        self.end_processes()
        shutil.rmtree(self.home, ignore_errors=True)

    def end_processes(self) -> None:
        """As `end`, but the home stays."""
        if self.process is not None:
            self.kill()
        end_processes_of(self.home)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that works for the engine of `home`: by its environment, its command line or where it stands."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _works_for(process, home)]


def _works_for(process: psutil.Process, home: Path) -> bool:
    try:
        return (
            any(str(home) in value for name, value in process.environ().items() if name.startswith("SHOPFLOOR_"))
            or any(str(home) in word for word in process.cmdline())
            or Path(process.cwd()).is_relative_to(home)
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def end_processes_of(home: Path, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while (left := processes_of(home)) and time.monotonic() < deadline:
        for process in left:
            with _gone_is_fine():
                _kill(process.pid, deadline)


def left_of(home: Path, within_s: float) -> list[psutil.Process]:
    """What still works for the engine of `home` when it had `within_s` seconds to go by itself."""
    deadline = time.monotonic() + within_s
    while (left := processes_of(home)) and time.monotonic() < deadline:
        for process in left:
            with _gone_is_fine():
                _await_end(process.pid, deadline)
    return left


def _kill(pid: int, deadline: float) -> None:
    """Kill it and wait until it ended."""
    os.kill(pid, signal.SIGKILL)
    _await_end(pid, deadline)


def _await_end(pid: int, deadline: float) -> None:
    """Whoever the process is a child of now may take its time to reap it: its end is what counts."""
    process = os.pidfd_open(pid)
    try:
        select.select([process], [], [], max(0.1, deadline - time.monotonic()))
    finally:
        os.close(process)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def short_home() -> Path:
    """A fresh folder whose path leaves room for a socket's name (108 bytes in all).

    `SHOPFLOOR_TEST_HOMES` puts it elsewhere than `/tmp`: a measurement wants a file system on which little was deleted
    in the last minutes, since ext4 searches long for a free inode among those that were just freed.
    """
    return Path(tempfile.mkdtemp(prefix="shopfloor-test-", dir=os.environ.get("SHOPFLOOR_TEST_HOMES", "/tmp")))  # noqa: S108


def wait_for(client: Client, task_id: str, *states: str, within_s: float = 30.0) -> dict[str, Any]:
    """The task once it is in one of `states` (default: any that it does not leave), woken by the event stream."""
    wanted = states or ("completed", "failed", "cancelled", "skipped")
    task: dict[str, Any] = until(client, lambda: _in(client.get(f"/v1/tasks/{task_id}"), wanted), within_s)
    return task


def _in(task: dict[str, Any], states: tuple[str, ...]) -> dict[str, Any] | None:
    return task if task["state"] in states else None


def until(client: Client, check: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What `check` answers once it answers something, asked again after each event of the engine.

    Raises `AssertionError` when the time is up.
    """
    from websockets.sync.client import connect, unix_connect

    endpoint = client.endpoint
    headers = {"X-API-Key": endpoint.key}
    deadline = time.monotonic() + within_s
    opened = (
        unix_connect(str(endpoint.socket), "ws://localhost/ws", additional_headers=headers)
        if endpoint.socket is not None
        else connect(f"{endpoint.url}/ws".replace("http", "ws", 1), additional_headers=headers)
    )
    with opened as stream:
        while not (answer := check()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not so within {within_s:g} s")
            try:
                stream.recv(timeout=left)
            except TimeoutError:
                continue
    return answer
