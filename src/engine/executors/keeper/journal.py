"""The keeper's memory on disk: one line for each thing that became true, appended, never synced.

It has to survive the death of processes, not of the machine: after a power loss every attempt is gone anyway, and
the boot id in the lock file tells. Fields are separated by tabs. `I` intent (key, output file), `S` start (key, pid,
first and last possible start tick, time), `M` the main process ended but others of the attempt may live (key, time,
kind, value), `E` all of it ended (the same), `F` forgotten (key).
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.executors.keeper.link import Link

    Outcome = tuple[float, int | None, int | None, str | None, str | None]
    """Time, exit code, signal, lost, refused: exactly one of the last four is set."""

COMPACT_AT = 256 * 1024
_BYTES_A_RECORD = 512


class Attempt:
    """One run of a task, as the keeper knows it. `key` is `<task>#<number>`."""

    __slots__ = (
        "adopted",
        "born_by",
        "born_from",
        "ended",
        "key",
        "link",
        "outcome",
        "output",
        "pid",
        "started_at",
        "unwanted",
    )

    def __init__(self, key: str, output: str) -> None:
        self.key = key
        self.output = output
        self.pid = 0
        self.born_from = 0
        self.born_by = 0
        self.started_at = 0.0
        self.outcome: Outcome | None = None
        self.ended = False
        self.adopted = False  # started by the keeper before this one: not our child
        self.unwanted = False  # no engine asks for it: forgotten as soon as it is over
        self.link: Link | None = None

    def is_process(self, born: int) -> bool:
        """Whether a process with this attempt's pid and that start tick is the one that was started."""
        return self.born_from <= born <= self.born_by


def intent(attempt: Attempt) -> bytes:
    return f"I\t{attempt.key}\t{_escaped(attempt.output)}\n".encode("utf-8", "surrogateescape")


def start(attempt: Attempt) -> bytes:
    a = attempt
    return f"S\t{a.key}\t{a.pid}\t{a.born_from}\t{a.born_by}\t{a.started_at!r}\n".encode()


def end(attempt: Attempt, *, whole: bool) -> bytes:
    """The line for an outcome: `E` when nothing of the attempt is left, `M` when its main process is gone."""
    if attempt.outcome is None:
        raise ValueError(f"{attempt.key} has not ended")
    at, code, signal, lost, refused = attempt.outcome
    if code is not None:
        what = f"exit\t{code}"
    elif signal is not None:
        what = f"signal\t{signal}"
    elif refused is not None:
        what = f"refused\t{_escaped(refused)}"
    else:
        what = f"lost\t{_escaped(lost or '')}"
    return f"{'E' if whole else 'M'}\t{attempt.key}\t{at!r}\t{what}\n".encode("utf-8", "surrogateescape")


def forget(key: str) -> bytes:
    return f"F\t{key}\n".encode()


def read(data: bytes) -> dict[str, Attempt]:
    """The attempts that were not forgotten.

    A last line without its end, and any line that makes no sense, counts as not written.
    """
    attempts: dict[str, Attempt] = {}
    for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split("\t")
        try:
            _apply(attempts, fields)
        except (IndexError, KeyError, ValueError):
            continue
    return attempts


def _apply(attempts: dict[str, Attempt], fields: list[str]) -> None:
    kind = fields[0]
    if kind == "I":
        attempts[fields[1]] = Attempt(fields[1], _unescaped(fields[2]))
    elif kind == "S":
        attempt = attempts[fields[1]]
        pid, born_from, born_by, at = int(fields[2]), int(fields[3]), int(fields[4]), float(fields[5])
        attempt.pid, attempt.born_from, attempt.born_by, attempt.started_at = pid, born_from, born_by, at
    elif kind in {"M", "E"}:
        attempt = attempts[fields[1]]
        attempt.outcome = _outcome(float(fields[2]), fields[3], fields[4])
        attempt.ended = kind == "E"
    elif kind == "F":
        attempts.pop(fields[1], None)


def _outcome(at: float, kind: str, value: str) -> Outcome:
    if kind == "exit":
        return (at, int(value), None, None, None)
    if kind == "signal":
        return (at, None, int(value), None, None)
    if kind == "refused":
        return (at, None, None, None, _unescaped(value))
    if kind == "lost":
        return (at, None, None, _unescaped(value), None)
    raise ValueError(kind)


def _escaped(text: str) -> str:
    if "\\" in text or "\n" in text or "\t" in text:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    return text


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    parts = text.split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace("\\t", "\t") for part in parts)


def _lines(attempt: Attempt) -> bytes:
    lines = intent(attempt)
    if attempt.pid:
        lines += start(attempt)
    if attempt.outcome is not None:
        lines += end(attempt, whole=attempt.ended)
    return lines


class Journal:
    """The file. Lines that could not be written (the disk is full) are kept and written with the next ones."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = 0
        self._unwritten: list[bytes] = []

    def load(self) -> dict[str, Attempt]:
        """Read it once, at the start; what a kill left half written is cut off."""
        data = b""
        while piece := os.pread(self._fd, 1 << 20, len(data)):
            data += piece
        self._size = data.rfind(b"\n") + 1
        if self._size < len(data):
            os.ftruncate(self._fd, self._size)
        return read(data)

    def add(self, line: bytes) -> None:
        """Hand in a line; it is in the file after `write`."""
        self._unwritten.append(line)

    def withdraw(self, line: bytes) -> None:
        """Take back a line that was not written."""
        self._unwritten.remove(line)

    @property
    def behind(self) -> bool:
        return bool(self._unwritten)

    def write(self) -> OSError | None:
        """Write what was handed in: all of it, or none of it and the reason."""
        if not self._unwritten:
            return None
        data = b"".join(self._unwritten)
        try:
            written = os.write(self._fd, data)
            if written < len(data):
                os.ftruncate(self._fd, self._size)
                return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            return error
        self._size += written
        self._unwritten.clear()
        return None

    def compact(self, attempts: Iterable[Attempt], count: int) -> None:
        """Write the journal anew when most of it is forgotten, once it has grown."""
        if self._size < COMPACT_AT or self._size < 4 * _BYTES_A_RECORD * count or self._unwritten:
            return
        if not count:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        fresh = self._path + ".new"
        data = b"".join(map(_lines, attempts))
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            whole = os.write(fd, data) == len(data)
            if whole:
                os.replace(fresh, self._path)
        except OSError:
            whole = False
        if not whole:
            # The old one is complete and goes on; the next time may find more room.
            os.close(fd)
            return
        os.close(self._fd)
        self._fd, self._size = fd, len(data)

    def close(self) -> None:
        os.close(self._fd)
