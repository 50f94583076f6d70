"""The attempts in the keeper's care: started, reaped, ended whole, and told of."""

from __future__ import annotations

import os
import time
from collections import deque

from engine.executors.keeper import journal, processes
from engine.executors.keeper.journal import Attempt, Journal
from engine.executors.keeper.spawn import FULL, NO_ROOM, NoRoomError, RefusedError, ignored_signals, spawn
from engine.executors.keeper.stops import Stop
from engine.executors.keeper.tree import ATTEMPT, KEEPER, Snapshot, cookie, home_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from engine.executors.keeper.journal import Outcome
    from engine.executors.keeper.link import Link

LEFTOVER_GRACE_S = 3.0
"""Between TERM and KILL for what a task leaves behind when its main process ends by itself."""
STARTED_WITHIN_S = 0.003
"""A start is told this late at most: those of tasks that end sooner travel, and are committed, with their end."""
_SPAWNS_A_ROUND = 4

NOT_STARTED = "cancelled before it started"
UNKNOWN = "the keeper has no record of it"


class Ward:
    def __init__(self, home: str) -> None:
        self.attempts: dict[str, Attempt] = {}
        self.journal = Journal("keeper.journal")
        self.stops: dict[str, Stop] = {}
        self.waiting: deque[Sequence[Any]] = deque()
        self._home = home
        self._tag = home_tag(home)
        self._mains: dict[int, Attempt] = {}
        self._orphans: dict[int, str | None] = {}
        self._snapshot: Snapshot | None = None
        self._children = processes.children_file()
        self._defaults = ignored_signals()

    # -- what the engine asks for

    def launch(self, link: Link, message: Sequence[Any]) -> None:
        """Start it soon. A key that is known already is told of and not started again."""
        key, output = message[1], message[5]
        attempt = self.attempts.get(key)
        if attempt is None:
            attempt = self.attempts[key] = Attempt(key, output)
            self.waiting.append(message)
        attempt.link = link
        self.tell_all(attempt)

    def cancel(self, link: Link, key: str, grace_s: float) -> None:
        attempt = self.attempts.get(key)
        if attempt is None:
            link.say(("ended", key, time.time(), None, None, UNKNOWN, None))
            return
        attempt.link = link
        if attempt.ended:
            self.tell_all(attempt)
        else:
            self._end(attempt, grace_s)

    def forget(self, key: str) -> None:
        attempt = self.attempts.get(key)
        if attempt is not None and attempt.ended:
            del self.attempts[key]
            self.journal.add(journal.forget(key))

    def adopt(self, link: Link, keys: Sequence[str]) -> None:
        """These are the engine's now, those of them that are known; what else runs is ended."""
        expected = set(keys)
        link.say(("adopted", [key for key in keys if key in self.attempts]))
        for attempt in list(self.attempts.values()):
            if attempt.key in expected:
                attempt.link = link
                self.tell_all(attempt)
            elif attempt.ended:
                self.forget(attempt.key)
            elif attempt.link is not link:
                attempt.link, attempt.unwanted = None, True
                self._end(attempt, LEFTOVER_GRACE_S)

    def _end(self, attempt: Attempt, grace_s: float) -> None:
        if attempt.pid or attempt.outcome:
            self.stop(attempt, grace_s)
            return
        self.waiting = deque(launch for launch in self.waiting if launch[1] != attempt.key)
        self.journal.add(journal.intent(attempt))
        self.settle(attempt, (time.time(), None, None, NOT_STARTED, None))

    # -- starting

    def start_some(self) -> None:
        """A few of those that wait: what ends meanwhile is not to wait for all of them."""
        for _ in range(min(_SPAWNS_A_ROUND, len(self.waiting))):
            _, key, command, environment, cwd, _ = self.waiting.popleft()
            self._start(self.attempts[key], command, environment, cwd)
        os.chdir(self._home)

    def _start(self, attempt: Attempt, command: list[str], environment: dict[str, str], cwd: str) -> None:
        environment[ATTEMPT] = attempt.key
        environment[KEEPER] = self._tag
        line = journal.intent(attempt)
        self.journal.add(line)
        if error := self.journal.write():
            self.journal.withdraw(line)
            refused = f"the keeper can't write its journal: {os.strerror(error.errno or 0)}"
            why = (NO_ROOM, None) if error.errno in FULL else (None, refused)
            self.settle(attempt, (time.time(), None, None, *why), recorded=False)
            return
        attempt.started_at = time.time()
        attempt.born_from = processes.tick()
        try:
            attempt.pid = spawn(command, environment, cwd, attempt.output, self._defaults)
        except NoRoomError:
            self.settle(attempt, (time.time(), None, None, NO_ROOM, None))
            return
        except RefusedError as refusal:
            self.settle(attempt, (time.time(), None, None, None, str(refusal)))
            return
        attempt.born_by = processes.tick()
        self._mains[attempt.pid] = attempt
        self.journal.add(journal.start(attempt))
        self._tell(attempt, ("started", attempt.key, attempt.pid, attempt.started_at), within_s=STARTED_WITHIN_S)

    # -- ending

    def reap(self) -> None:
        """Take in all of our children that have ended."""
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if seen is None:
                return
            pid = seen.si_pid
            attempt = self._mains.pop(pid, None)
            if attempt is None:
                self._hasten(self._orphans.pop(pid, None))
            elif seen.si_code == os.CLD_EXITED:
                self.main_ended(attempt, seen.si_status, None)
            else:
                self.main_ended(attempt, None, seen.si_status)
            # Only now that its end is written down does it leave the process table.
            os.waitpid(pid, 0)

    def main_ended(self, attempt: Attempt, code: int | None, number: int | None, lost: str | None = None) -> None:
        """Its main process has ended; so has the attempt, unless it leaves others behind or is being ended."""
        outcome = (time.time(), code, number, lost, None)
        if attempt.key not in self.stops and not self._leaves_some(attempt):
            self.settle(attempt, outcome)
            return
        attempt.outcome = outcome
        self.journal.add(journal.end(attempt, whole=False))
        self.journal.write()
        self.stop(attempt, LEFTOVER_GRACE_S)

    def _leaves_some(self, attempt: Attempt) -> bool:
        """Whether processes of it live on. Orphans become our children, so a look at our own children tells."""
        if self._children < 0 or attempt.adopted:
            return bool(self.snapshot().members(attempt))
        data = b""
        while piece := os.pread(self._children, 65536, len(data)):
            data += piece
        pids = data.split()
        if len(pids) <= len(self._mains) + 1:
            return False
        known = {str(pid).encode() for pid in self._mains}
        known.add(str(attempt.pid).encode())
        return any(self._is_of(int(pid), attempt) for pid in pids if pid not in known)

    def _is_of(self, pid: int, attempt: Attempt) -> bool:
        process = processes.look(pid)
        if process is None or not process.alive:
            return False
        if pid not in self._orphans:
            self._orphans[pid] = cookie(pid, self._tag)
        return process.session == attempt.pid or self._orphans[pid] == attempt.key

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """End all that is left of it."""
        stop = self.stops.get(attempt.key)
        if stop is None:
            self.stops[attempt.key] = Stop(attempt, grace_s)
        else:
            stop.hasten(grace_s)

    def press_on(self) -> None:
        """Take the next step with each attempt that is being ended."""
        now = time.monotonic()
        for stop in list(self.stops.values()):
            if stop.look_at > now or not stop.press(self.snapshot):
                continue
            attempt = stop.attempt
            if attempt.outcome is not None:
                del self.stops[attempt.key]
                self.settle(attempt, attempt.outcome)

    def _hasten(self, key: str | None) -> None:
        if key is not None and (stop := self.stops.get(key)):
            stop.look_at = 0.0

    def settle(self, attempt: Attempt, outcome: Outcome, *, recorded: bool = True) -> None:
        """It is over and nothing of it is left: write it down, then tell."""
        attempt.outcome = outcome
        attempt.ended = True
        if recorded:
            self.journal.add(journal.end(attempt, whole=True))
            self.journal.write()
        if attempt.unwanted:
            self.forget(attempt.key)
        else:
            self._tell(attempt, ("ended", attempt.key, *outcome))

    def snapshot(self) -> Snapshot:
        """The processes of the machine as of this round."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self._tag)
        return self._snapshot

    def new_round(self) -> None:
        self._snapshot = None

    @property
    def runs_something(self) -> bool:
        return any(not attempt.ended for attempt in self.attempts.values())

    # -- telling

    def _tell(self, attempt: Attempt, message: Sequence[Any], within_s: float = 0.0) -> None:
        link = attempt.link
        if link is not None and not link.closed:
            link.say(message, time.monotonic() + within_s if within_s else 0.0)

    def tell_all(self, attempt: Attempt) -> None:
        """All that is known of it so far."""
        if attempt.pid:
            self._tell(attempt, ("started", attempt.key, attempt.pid, attempt.started_at))
        if attempt.ended and attempt.outcome is not None:
            self._tell(attempt, ("ended", attempt.key, *attempt.outcome))
