"""Whose process is it? All that belongs to an attempt: its session, who carries its cookie, and their descendants."""

from __future__ import annotations

import os

from engine.executors.keeper import processes
from engine.executors.keeper.journal import Attempt

ATTEMPT = "SHOPFLOOR_ATTEMPT"
"""The environment variable that marks every process of an attempt: `<task>#<number>`."""
KEEPER = "SHOPFLOOR_KEEPER"
"""The one that says whose attempt: a tag of the home folder, since task ids are unique in one home only."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.executors.keeper.processes import Process


def home_tag(home: str) -> str:
    """The same for as long as the folder is the same, wherever it is moved to on its disk."""
    stat = os.stat(home)
    return f"{stat.st_dev:x}-{stat.st_ino:x}"


def cookie(pid: int, tag: str) -> str | None:
    """The key of the attempt of this home that a process belongs to by its environment."""
    environment = processes.environment(pid)
    if f"\0{KEEPER}={tag}\0".encode() not in environment:
        return None
    at = environment.find(f"\0{ATTEMPT}=".encode())
    if at < 0:
        return None
    at += len(ATTEMPT) + 2
    return environment[at : environment.index(b"\0", at)].decode("utf-8", "surrogateescape")


class Snapshot:
    """Every process at one moment. Costs some 20 us for each process of the machine: only for what is being ended."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._all = processes.everything()
        self._own = os.getpid()
        self._children: dict[int, list[Process]] = {}
        self._by_session: dict[int, list[Process]] = {}
        self._by_cookie: dict[str, list[Process]] | None = None
        for process in self._all.values():
            self._children.setdefault(process.parent, []).append(process)
            self._by_session.setdefault(process.session, []).append(process)

    def marked(self, key: str) -> list[Process]:
        """The living processes that carry the attempt's cookie, oldest first."""
        if self._by_cookie is None:
            self._by_cookie = {}
            for process in self._all.values():
                if process.alive and process.parent != 2 and (found := cookie(process.pid, self._tag)):
                    self._by_cookie.setdefault(found, []).append(process)
        return sorted(self._by_cookie.get(key, ()), key=lambda process: process.born)

    def members(self, attempt: Attempt) -> list[Process]:
        """The attempt's living processes."""
        found: dict[int, Process] = {}
        seeds = self.marked(attempt.key)
        leader = self._all.get(attempt.pid)
        # Only its own leader, or none at all, makes the session this attempt's: pids come round again.
        if attempt.pid and (leader is None or attempt.is_process(leader.born)):
            seeds += self._by_session.get(attempt.pid, ())
            seeds += [leader] if leader is not None else []
        while seeds:
            process = seeds.pop()
            if process.pid not in found and process.pid != self._own:
                found[process.pid] = process
                seeds += self._children.get(process.pid, ())
        return [process for process in found.values() if process.alive]
