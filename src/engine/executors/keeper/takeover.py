"""After a keeper was killed, or the machine restarted: the journal says what to look for."""

from __future__ import annotations

import os
import select
import time

from engine.executors.keeper import journal, processes
from engine.executors.keeper.journal import Attempt
from engine.executors.keeper.ward import LEFTOVER_GRACE_S, Ward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.executors.keeper.journal import Outcome

RESTARTED = "the machine restarted while it ran"
UNSEEN = "the keeper was killed while it ran, and it ended before a new one could watch it"
UNTOLD = "the keeper was killed while it ran, and this kernel does not tell how it ended"
UNSURE = "the keeper was killed while it was starting this attempt"


class TakeOver:
    """`lock` is the open lock file; it holds the id of the boot that the journal is of."""

    def __init__(self, ward: Ward, epoll: select.epoll, lock: int) -> None:
        self.watched: dict[int, Attempt] = {}
        self._ward = ward
        self._epoll = epoll
        self._lock = lock
        self._boot = processes.boot_id()
        before = os.pread(lock, 64, 0).decode("ascii", "replace").strip()
        self._restarted = before not in {"", self._boot}
        if not before:
            self._remember_boot()

    def run(self) -> int:
        """Find what the journal tells of; how many attempts that is."""
        self._ward.attempts = self._ward.journal.load()
        for attempt in list(self._ward.attempts.values()):
            attempt.adopted = True
            if attempt.ended:
                continue
            if self._restarted:
                self._ward.settle(attempt, attempt.outcome or _lost(RESTARTED))
            elif attempt.outcome is not None:
                self._ward.stop(attempt, LEFTOVER_GRACE_S)
            elif attempt.pid or self._find_started(attempt):
                self._watch(attempt)
        return len(self._ward.attempts)

    def answer_for(self, keys: Sequence[str]) -> None:
        """Called before the first engine adopts: after a restart, what it expects and nobody knows is lost too."""
        if not self._restarted:
            return
        for key in keys:
            if key not in self._ward.attempts:
                attempt = self._ward.attempts[key] = Attempt(key, "")
                self._ward.journal.add(journal.intent(attempt))
                self._ward.settle(attempt, _lost(RESTARTED))
        self._restarted = False
        self._remember_boot()

    def ended(self, fd: int) -> None:
        """A process that we watch but did not start has ended."""
        attempt = self.watched.pop(fd)
        how = processes.how_it_ended(fd, attempt.pid, attempt.born_from)
        self._epoll.unregister(fd)
        os.close(fd)
        self._ward.main_ended(attempt, *(how or (None, None)), None if how else UNTOLD)

    def _find_started(self, attempt: Attempt) -> bool:
        """An intent without a start: is there a process of it?

        Its output file is there from before its first instruction on: without it, it never started.
        """
        marked = self._ward.snapshot().marked(attempt.key)
        leaders = [process for process in marked if process.session == process.pid]
        if marked:
            main = (leaders or marked)[0]
            attempt.pid, attempt.born_from, attempt.born_by = main.pid, main.born, main.born
            attempt.started_at = time.time()
            self._ward.journal.add(journal.start(attempt))
            return True
        if os.path.exists(attempt.output):
            self._ward.settle(attempt, _lost(UNSURE))
        else:
            del self._ward.attempts[attempt.key]
            self._ward.journal.add(journal.forget(attempt.key))
        return False

    def _watch(self, attempt: Attempt) -> None:
        try:
            fd = os.pidfd_open(attempt.pid)
        except ProcessLookupError:
            self._ward.main_ended(attempt, None, None, UNSEEN)
            return
        process = processes.look(attempt.pid)
        if process is None or not attempt.is_process(process.born):
            os.close(fd)
            self._ward.main_ended(attempt, None, None, UNSEEN)
            return
        attempt.born_from = attempt.born_by = process.born
        self.watched[fd] = attempt
        self._epoll.register(fd, select.EPOLLIN)

    def _remember_boot(self) -> None:
        # Synced, unlike the journal: it has to tell the next boot that this one is over.
        os.pwrite(self._lock, self._boot.encode() + b"\n", 0)
        os.fsync(self._lock)


def _lost(why: str) -> Outcome:
    return (time.time(), None, None, why, None)
