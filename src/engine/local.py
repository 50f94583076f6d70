"""The engine of a home as another process sees it: is it there, where, and what does it say of itself."""

import fcntl
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine.settings import Home

_TRIES: Final = 5
_BETWEEN_TRIES_S: Final = 0.02


class HomeTaken(Exception):
    """Another engine holds this home; the message says which."""


class EngineGone(Exception):
    """No engine answers on this home."""


class EngineRefused(Exception):
    """The engine answered with an error; the message is the engine's."""


@contextmanager
def hold(home: Home) -> Iterator[None]:
    """Hold the home for the time of the block, so that no second engine writes to it. Raises HomeTaken.

    The lock is the kernel's: it is gone with the process, however that ends.
    """
    with home.lock.open("a+b") as file:
        _take(home, file)
        file.truncate(0)
        file.write(b"%d\n" % os.getpid())
        file.flush()
        yield


def holder(home: Home) -> int | None:
    """The process that holds this home, since an engine runs there or is about to; None when nobody does."""
    try:
        with home.lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = file.read(20).strip()
                return int(pid) if pid.isdigit() else None
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # no home, or none that we may look into
    return None


def _take(home: Home, file: BinaryIO) -> None:
    os.fchmod(file.fileno(), 0o600)
    for _ in range(_TRIES):  # someone who only looks whether it is held holds it for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN_TRIES_S)
        else:
            return
    url = read_engine_file(home).get("url")
    where = f" at {url}" if url else ""
    raise HomeTaken(
        f"An engine (pid {holder(home)}) runs on this home already{where}. Stop it with `shopfloor engine stop`, "
        "or choose another SHOPFLOOR_HOME"
    )


def read_engine_file(home: Home) -> dict[str, Any]:
    """What `engine.json` says; empty when there is none. It may be left over from an engine that was killed."""
    try:
        found = json.loads(home.engine_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Requests over the home's UNIX socket with the home's own key."""

    home: Home
    timeout_s: float = 5.0

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer as JSON, None when it is empty. Raises EngineGone, or EngineRefused with what the engine says."""
        headers = {"X-API-Key": self._key()}
        content = None if body is None else json.dumps(body)
        connection = _Connection(self.home.socket, self.timeout_s)
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineGone(f"No engine answers on {self.home.root}") from error
        finally:
            connection.close()
        answer = json.loads(raw) if raw else None
        if response.status >= 400:
            raise EngineRefused(str(answer.get("error", answer)) if isinstance(answer, dict) else "unknown error")
        return answer

    def status(self) -> dict[str, Any] | None:
        """What the engine says of itself; None when none answers."""
        try:
            found: dict[str, Any] = self.ask("GET", "/v1/status")
        except EngineGone:
            return None
        return found

    def _key(self) -> str:
        try:
            return self.home.key.read_text("utf-8").strip()
        except OSError:
            return ""
