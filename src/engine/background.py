"""Starting an engine that outlives whoever started it, and waiting for one to be gone."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final, Literal

from engine.local import LocalEngine, holder
from engine.settings import Home

READY: Final = b"ready "
_STOP_SIGNALS: Final = {None: signal.SIGTERM, "drain": signal.SIGUSR1, "leave": signal.SIGUSR2}
_ANOTHER_STARTS_S: Final = 10.0


class StartFailed(Exception):
    """The engine did not become ready; the message is its own last words, `code` its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def start_in_background(home: Home, flags: Sequence[str], timeout_s: float) -> str:
    """Start an engine in a session of its own; one line that says where it is, once it is ready.

    It speaks through a pipe until it is ready: that line, or why it could not. Raises StartFailed.
    """
    running = _running(home)
    if running is not None:
        return running
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "run", "--background", f"--home={home.root}", *flags],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            cwd="/",
        )
        os.close(writing)
        said = _listen(reading, process, time.monotonic() + timeout_s)
    finally:
        os.close(reading)
    if (address := _address(said)) is not None:
        return f"The engine runs at {address}"
    text = said.decode("utf-8", "replace").strip()
    code = process.poll()
    if code is None:
        raise StartFailed(
            f"The engine (pid {process.pid}) was not ready within {timeout_s:g} s; its log is in {home.logs}", 1
        )
    running = _wait_for_another(home)
    if running is not None:
        return running
    raise StartFailed(text or f"The engine ended with {code} before it was ready", 2 if code == 2 else 1)


def stop_engine(home: Home, mode: Literal["drain", "leave"] | None, timeout_s: float | None) -> bool | None:
    """End the home's engine and wait until its process is gone: True, or False if time ran out; None if none runs."""
    pid = holder(home)
    if pid is None:
        return None
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        signal.pidfd_send_signal(process, _STOP_SIGNALS[mode])
        poll = select.poll()
        poll.register(process, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
    finally:
        os.close(process)


def _listen(reading: int, process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """All that the new engine says until it is ready, gone, or late."""
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    poll.register(ended, select.POLLIN)
    os.set_blocking(reading, False)
    said = b""
    try:
        while _address(said) is None:
            found = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            said += _drain(reading)
            if not found or any(descriptor == ended for descriptor, _ in found):
                break
            if any(descriptor == reading and not event & select.POLLIN for descriptor, event in found):
                poll.unregister(reading)  # it closed its end without a word; only its exit is left to wait for
    finally:
        os.close(ended)
    return said + _drain(reading)


def _address(said: bytes) -> str | None:
    """Where the engine is, once it has said a whole line of that. A refusal may well hold the word in its middle."""
    lines = said.splitlines(keepends=True)
    found = next((line for line in lines if line.startswith(READY) and line.endswith(b"\n")), None)
    return None if found is None else found.removeprefix(READY).decode("utf-8", "replace").strip()


def _drain(reading: int) -> bytes:
    said = b""
    try:
        while piece := os.read(reading, 65536):
            said += piece
    except BlockingIOError:
        pass
    return said


def _running(home: Home) -> str | None:
    found = LocalEngine(home).status()
    return f"An engine (pid {found['pid']}) runs at {found['url']} already" if found else None


def _wait_for_another(home: Home) -> str | None:
    """Two were started at once: the other one holds the home and will be ready soon."""
    deadline = time.monotonic() + _ANOTHER_STARTS_S
    while holder(home) is not None and time.monotonic() < deadline:
        running = _running(home)
        if running is not None:
            return running
        time.sleep(0.05)
    return None
