"""Ending what is left of an attempt: TERM to all of it, grace, KILL, until nothing is there."""

from __future__ import annotations

import signal
import time

from engine.executors.keeper import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.executors.keeper.journal import Attempt
    from engine.executors.keeper.processes import Process
    from engine.executors.keeper.tree import Snapshot

_SOONEST_S, _LATEST_S = 0.002, 0.1
_FREEZE_ROUNDS = 20


class Stop:
    """One attempt being ended. `look_at` is the monotonic time of the next look."""

    __slots__ = ("_frozen", "_members", "_pause", "_rounds", "_termed", "attempt", "deadline", "look_at")

    def __init__(self, attempt: Attempt, grace_s: float) -> None:
        self.attempt = attempt
        self.deadline = time.monotonic() + grace_s
        self.look_at = 0.0
        self._members: list[Process] = []
        self._termed: set[tuple[int, int]] = set()
        self._frozen: set[tuple[int, int]] = set()
        self._rounds = 0
        self._pause = _SOONEST_S

    def hasten(self, grace_s: float) -> None:
        """Asked to end it again: the shorter grace counts."""
        self.deadline = min(self.deadline, time.monotonic() + grace_s)
        self.look_at = 0.0

    def press(self, snapshot: Callable[[], Snapshot]) -> bool:
        """Take the next step; True when nothing of the attempt is left.

        One snapshot serves all that is ended at once.
        """
        now = time.monotonic()
        self._members = [each for each in self._members if _lives(each)]
        if now >= self.deadline:
            self._kill(snapshot().members(self.attempt))
        elif not self._members:
            self._term(snapshot().members(self.attempt))
        self._pause = min(self._pause * 1.5, _LATEST_S)
        self.look_at = now + self._pause if now >= self.deadline else min(now + self._pause, self.deadline)
        return not self._members

    def _term(self, found: list[Process]) -> None:
        self._members = found
        for process in found:
            if process.identity not in self._termed:
                self._termed.add(process.identity)
                # A stopped process can act on TERM only once it goes on.
                if processes.signal_to(process, signal.SIGTERM):
                    processes.signal_to(process, signal.SIGCONT)

    def _kill(self, found: list[Process]) -> None:
        # Freeze all before killing any, so that what forks as fast as it dies can't outrun us.
        if not self._rounds:
            self._pause = _SOONEST_S
        self._rounds += 1
        fresh = [each for each in found if each.identity not in self._frozen]
        for process in fresh:
            self._frozen.add(process.identity)
            processes.signal_to(process, signal.SIGSTOP)
        if not fresh or self._rounds > _FREEZE_ROUNDS:
            for process in found:
                processes.signal_to(process, signal.SIGKILL)
        self._members = found


def _lives(process: Process) -> bool:
    now = processes.look(process.pid)
    return now is not None and now.born == process.born and now.alive
