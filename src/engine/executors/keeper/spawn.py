"""Starting a command: resolved against its own PATH, in a session of its own, with nothing inherited."""

from __future__ import annotations

import errno
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REASONS = {
    errno.ENOEXEC: "{name!r} is not a program this machine can run; a script needs a #! line",
    errno.EACCES: "{name!r} can't be executed: {why}",
    errno.E2BIG: "its arguments and environment together are longer than the machine allows",
    errno.EAGAIN: "the machine has no room for another process: {why}",
    errno.ENOMEM: "the machine has no room for another process: {why}",
}
_FOUND_FOR_S, _FOUND_AT_MOST = 1.0, 64
_found: dict[tuple[str, str], tuple[str, float]] = {}
"""Where commands were found a moment ago: a long PATH costs more to search than all else in a start."""
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY


class RefusedError(Exception):
    """The command can't be started; the message is for the person who submitted it."""


class NoRoomError(RefusedError):
    """The disk is full: the same command may start later."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_ROOM = "the disk had no room for it to start"


def ignored_signals() -> list[int]:
    """The signals this process ignores, by Python's doing or its parent's: a task gets their default back."""
    return [each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN]


def spawn(command: list[str], environment: Mapping[str, str], cwd: str, output: str, defaults: Sequence[int]) -> int:
    """Start it and return its pid. Leaves this process in `cwd`. Its stdin is this process's own, /dev/null."""
    try:
        os.chdir(cwd)
    except OSError as error:
        raise RefusedError(f"its working folder can't be used: {os.strerror(error.errno or 0)}") from error
    try:
        return os.posix_spawn(
            _program(command[0], environment),
            command,
            environment,
            file_actions=((os.POSIX_SPAWN_OPEN, 1, output, _APPEND, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)),
            setsid=True,
            setsigmask=(),
            setsigdef=defaults,
        )
    except OSError as error:
        if error.errno in FULL:
            raise NoRoomError(NO_ROOM) from error
        raise RefusedError(_reason(command[0], output, error)) from error
    except (ValueError, TypeError) as error:
        raise RefusedError(f"its command or environment can't be passed to a process: {error}") from error


def _program(name: str, environment: Mapping[str, str]) -> str:
    if "/" in name:
        return name
    where = environment.get("PATH", _DEFAULT_PATH)
    now = time.monotonic()
    program, until = _found.get((name, where), ("", 0.0))
    if now >= until:
        program = _search(name, where)
        if len(_found) >= _FOUND_AT_MOST:
            _found.clear()
        if program.startswith("/"):  # else it depends on the working folder
            _found[name, where] = (program, now + _FOUND_FOR_S)
    return program


def _search(name: str, where: str) -> str:
    forbidden = False
    for folder in where.split(":"):
        path = f"{folder}/{name}" if folder else name
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            forbidden = True
    if forbidden:
        raise RefusedError(f"{name!r} is on its PATH but can't be executed: {os.strerror(errno.EACCES)}")
    raise RefusedError(f"no command {name!r} on its PATH")


def _reason(name: str, output: str, error: OSError) -> str:
    if not os.access(os.path.dirname(output), os.W_OK):
        return "its output file can't be written"
    if error.errno == errno.ENOENT:
        if os.path.exists(name):
            return f"the interpreter that {name!r} names in its first line does not exist"
        return f"no command {name!r}"
    return _REASONS.get(error.errno or 0, "{name!r} could not be started: {why}").format(
        name=name, why=os.strerror(error.errno or 0)
    )
