"""A program in a pseudo-terminal: what it writes, when, and how long it takes to answer a key."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

ANSWERS = {b"\x1b[?2026$p": b"\x1b[?2026;2$y", b"\x1b[?2048$p": b"\x1b[?2048;0$y", b"\x1b[c": b"\x1b[?62;22c"}
"""What a terminal says when it is asked what it can do."""


class Terminal:
    """Runs a command in a pseudo-terminal of so many columns and lines. `read` takes what it wrote."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 160,
        lines: int = 48,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.started_at = time.perf_counter()
        self.written = 0
        self.screen = bytearray()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        everything = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            **(environment or {}),
        }
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            os.execvpe(command[0], list(command), everything)  # noqa: S606 - the child of a fork
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, timeout_s: float) -> bytes:
        """What comes next; empty when nothing does in that time, or the program has ended."""
        if not select.select([self.fd], [], [], timeout_s)[0]:
            return b""
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            return b""
        self.written += len(data)
        self.screen += data
        for question, answer in ANSWERS.items():
            if question in data:
                os.write(self.fd, answer)
        return data

    def until(self, text: bytes, timeout_s: float = 20.0) -> float:
        """Reads until `text` was written since the last call; the time it took since the start, in seconds."""
        deadline = time.perf_counter() + timeout_s
        while text not in self.plain():
            if time.perf_counter() > deadline:
                raise TimeoutError(f"never wrote {text!r}: {self.plain()[-2000:]!r}")
            self.read(0.02)
        at = time.perf_counter() - self.started_at
        self.screen.clear()
        return at

    def plain(self) -> bytes:
        """What was written since it was last asked for, without what moves the cursor and colours."""
        return re.sub(rb"\x1b\[[0-?]*[ -/]*[@-~]", b"", bytes(self.screen))

    def quiet(self, for_s: float = 0.15, timeout_s: float = 10.0) -> int:
        """Reads until nothing has come for a while; how many bytes came."""
        before = self.written
        deadline = time.perf_counter() + timeout_s
        while self.read(for_s):
            if time.perf_counter() > deadline:
                raise TimeoutError("it never falls silent")
        self.screen.clear()
        return self.written - before

    def listen(self, for_s: float) -> int:
        """Reads for so long, whatever comes; how many bytes came."""
        before = self.written
        deadline = time.perf_counter() + for_s
        while (left := deadline - time.perf_counter()) > 0:
            self.read(left)
        return self.written - before

    def press(self, key: bytes) -> tuple[float, int]:
        """Seconds from a key to the first byte of its repaint, and the bytes of it."""
        before = self.written
        started = time.perf_counter()
        os.write(self.fd, key)
        if not self.read(2.0):
            raise TimeoutError(f"{key!r} changed nothing on the screen")
        took = time.perf_counter() - started
        while self.read(0.03):
            pass
        self.screen.clear()
        return took, self.written - before

    def memory_mb(self) -> float:
        """Resident memory of the program."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def cpu_s(self) -> float:
        """Processor seconds that the program has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def alive(self) -> bool:
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0) if self.pid else False

    def wait(self, timeout_s: float = 10.0) -> int:
        """Its exit code, once it has ended."""
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            self.read(0.02)
        raise TimeoutError("it does not end")

    def close(self) -> None:
        """Ends the program and the terminal."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def hang_up(self) -> None:
        """The terminal goes away, as a lost SSH session does."""
        os.close(self.fd)
        self.fd = -1


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
