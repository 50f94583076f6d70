"""Processes as Linux shows them: who they are, whose they are, how they ended, and signals that can't hit another."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import time

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_GET_INFO = 0xC040FF0B  # PIDFD_GET_INFO: _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)
_INFO_EXIT = 1 << 3
GONE = frozenset("ZXx")


def tick() -> int:
    """Now, in the unit and by the clock that a process's start is told in."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK_NS


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class Process:
    __slots__ = ("born", "parent", "pid", "session", "state")

    def __init__(self, pid: int, state: str, parent: int, session: int, born: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.session = session
        self.born = born

    @property
    def identity(self) -> tuple[int, int]:
        """A pid comes round again; with its start it does not."""
        return (self.pid, self.born)

    @property
    def alive(self) -> bool:
        """A zombie has ended; only its parent's attention is missing."""
        return self.state not in GONE


def _stat(pid: int) -> list[str] | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(fd, 4096).decode("utf-8", "surrogateescape")
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name in parentheses may itself hold spaces and parentheses.
    return text[text.rfind(")") + 2 :].split()


def look(pid: int) -> Process | None:
    fields = _stat(pid)
    if fields is None:
        return None
    return Process(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def everything() -> dict[int, Process]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            process = look(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def environment(pid: int) -> bytes:
    """What a process was started with, each entry between two NULs; empty where it is not ours to read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + file.read()
    except OSError:
        return b""


def signal_to(process: Process, number: int) -> bool:
    """Signal exactly this process: never one that got its pid since. False when it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = look(process.pid)
        if now is None or now.born != process.born:
            return False
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def children_file() -> int:
    """A descriptor from which to read our own children's pids, again and again; -1 where the kernel has none."""
    try:
        return os.open("/proc/thread-self/children", os.O_RDONLY)
    except OSError:
        return -1


def how_it_ended(pidfd: int, pid: int, born: int) -> tuple[int | None, int | None] | None:
    """Exit code or signal of a process that is not our child, held by a pidfd since before its end.

    The kernel tells while it is a zombie of our own user, and from Linux 6.15 on afterwards. None: not known.
    """
    fields = _stat(pid)
    if fields is not None and int(fields[19]) == born:
        if fields[0] in GONE and _may_see(pid):
            return _decoded(int(fields[49]))
        return None
    info = bytearray(64)
    struct.pack_into("=Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:
        return None
    if not struct.unpack_from("=Q", info, 0)[0] & _INFO_EXIT:
        return None
    return _decoded(struct.unpack_from("=i", info, 60)[0])


def _may_see(pid: int) -> bool:
    """The kernel shows an exit code of 0 to those who may not see it."""
    try:
        return os.geteuid() in {0, os.stat(f"/proc/{pid}").st_uid}
    except OSError:
        return False


def _decoded(status: int) -> tuple[int | None, int | None]:
    code = os.waitstatus_to_exitcode(status)
    return (None, -code) if code < 0 else (code, None)
