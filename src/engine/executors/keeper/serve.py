"""The keeper's loop: one thread, one epoll, no wake-up without a cause."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from collections import deque

from engine.executors.keeper import frames, journal, processes
from engine.executors.keeper.journal import Attempt, Journal
from engine.executors.keeper.link import NEVER, Door, Link
from engine.executors.keeper.spawn import RefusedError, ignored_signals, spawn
from engine.executors.keeper.stops import Stop
from engine.executors.keeper.tree import ATTEMPT, KEEPER, Snapshot, cookie, home_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from engine.executors.keeper.journal import Outcome

IDLE_S = float(os.environ.get("SHOPFLOOR_KEEPER_IDLE_S", "10"))
"""With nothing to keep and nobody to talk to, it goes after this long."""
LEFTOVER_GRACE_S = 3.0
STARTED_WITHIN_S = 0.003
"""A start is told this late at most: those of tasks that end sooner travel, and are committed, with their end."""
_RETRY_WRITE_S = 1.0
_SPAWNS_A_ROUND = 4

RESTARTED = "the machine restarted while it ran"
UNSEEN = "the keeper was killed while it ran, and it ended before a new one could watch it"
UNTOLD = "the keeper was killed while it ran, and this kernel does not tell how it ended"
UNSURE = "the keeper was killed while it was starting this attempt"
NOT_STARTED = "cancelled before it started"
UNKNOWN = "the keeper has no record of it"


def keep(home: str, version: str, tell: int) -> None:
    """Run until nothing needs keeping. `tell` is a pipe that gets a byte once the keeper answers."""
    os.closerange(3, tell)
    os.set_inheritable(tell, False)
    _plug(home)
    os.chdir(home)
    lock = os.open("keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(1)
    keeper = Keeper(home, version, lock)
    keeper.recover()
    keeper.open_door()
    os.write(tell, b"1")
    os.close(tell)
    keeper.run()


def _plug(home: str) -> None:
    nothing = os.open("/dev/null", os.O_RDONLY)
    log = os.open(f"{home}/logs/keeper.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(nothing)
    os.close(log)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), text, file=sys.stderr, flush=True)


class Keeper:
    def __init__(self, home: str, version: str, lock: int) -> None:
        self.home = home
        self._version = version
        self._lock = lock
        self._tag = home_tag(home)
        self._journal = Journal("keeper.journal")
        self._attempts: dict[str, Attempt] = {}
        self._mains: dict[int, Attempt] = {}
        self._orphans: dict[int, str | None] = {}
        self._watched: dict[int, Attempt] = {}
        self._stops: dict[str, Stop] = {}
        self._waiting: deque[Sequence[Any]] = deque()
        self._links: dict[int, Link] = {}
        self._door: Door | None = None
        self._restarted = False
        self._retiring = False
        self._idle_since = time.monotonic()
        self._snapshot: Snapshot | None = None
        self._epoll = select.epoll()
        self._children = processes.children_file()
        self._defaults = ignored_signals()
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            # It ends when nothing is left to keep; whoever means to end it all the same uses KILL.
            signal.signal(each, lambda *_: None)

    # -- the loop

    def open_door(self) -> None:
        self._door = Door("keeper.sock")
        self._epoll.register(self._door.fileno(), select.EPOLLIN)

    def run(self) -> None:
        while not self._may_go():
            self._snapshot = None
            for fd, _ in self._epoll.poll(self._timeout()):
                self._attend(fd)
            if self._stops:
                self._press_on()
            if self._waiting:
                self._spawn_some()
            self._flush()
        self._leave()

    def _attend(self, fd: int) -> None:
        if fd == self._wake:
            os.read(fd, 4096)
            self._reap()
        elif (link := self._links.get(fd)) is not None:
            self._read(link)
        elif (attempt := self._watched.get(fd)) is not None:
            self._unwatch(attempt)
        elif self._door is not None and fd == self._door.fileno():
            for link in self._door.accept():
                self._links[link.fileno()] = link
                self._epoll.register(link.fileno(), select.EPOLLIN)

    def _timeout(self) -> float | None:
        if self._waiting:
            return 0
        now = time.monotonic()
        times = [stop.look_at for stop in self._stops.values()]
        times += [link.due for link in self._links.values() if link.due < NEVER and not link.stuck]
        if self._journal.behind:
            times.append(now + _RETRY_WRITE_S)
        if not self._attempts and not self._links:
            times.append(self._idle_since + IDLE_S)
        return max(0.0, min(times) - now) if times else None

    def _may_go(self) -> bool:
        if self._attempts or self._waiting:
            return False
        if self._retiring:
            return True
        return not self._links and time.monotonic() >= self._idle_since + IDLE_S

    def _leave(self) -> None:
        if self._door is not None:
            self._door.close()
        for link in self._links.values():
            link.close()
        os.unlink("keeper.journal")

    # -- what the engine says

    def _read(self, link: Link) -> None:
        try:
            messages = link.receive()
        except (OSError, EOFError, frames.BadFrameError) as error:
            if isinstance(error, frames.BadFrameError):
                _say(f"a peer was shown out: {error}")
            self._drop(link)
            return
        for message in messages:
            self._hear(link, message)

    def _hear(self, link: Link, message: Sequence[Any]) -> None:
        word = message[0]
        if word == "launch":
            self._launch(link, message)
        elif word == "forget":
            for key in message[1]:
                self._forget(key)
        elif word == "cancel":
            self._cancel(link, message[1], message[2])
        elif word == "adopt":
            self._adopt(link, message[1])
        elif word == "hello":
            link.say(("welcome", frames.PROTOCOL, self._version, os.getpid()))
        elif word == "retire":
            self._retiring = True
        else:
            _say(f"a peer said {word!r}, which is not known here")

    def _drop(self, link: Link) -> None:
        self._epoll.unregister(link.fileno())
        del self._links[link.fileno()]
        link.close()
        self._idle_since = time.monotonic()

    def _launch(self, link: Link, message: Sequence[Any]) -> None:
        attempt = self._attempts.get(message[1])
        if attempt is not None:
            attempt.link = link
            self._tell_all(attempt)
            return
        attempt = Attempt(message[1], message[5])
        attempt.link = link
        self._attempts[attempt.key] = attempt
        self._waiting.append(message)

    def _forget(self, key: str) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.ended:
            del self._attempts[key]
            self._journal.add(journal.forget(key))
            if not self._attempts:
                self._idle_since = time.monotonic()

    def _cancel(self, link: Link, key: str, grace_s: float) -> None:
        attempt = self._attempts.get(key)
        if attempt is None:
            link.say(("ended", key, time.time(), None, None, UNKNOWN, None))
            return
        attempt.link = link
        if attempt.ended:
            self._tell_all(attempt)
        else:
            self._end(attempt, grace_s)

    def _end(self, attempt: Attempt, grace_s: float) -> None:
        if attempt.pid or attempt.outcome:
            self._stop(attempt, grace_s)
            return
        self._waiting = deque(launch for launch in self._waiting if launch[1] != attempt.key)
        self._journal.add(journal.intent(attempt))
        self._settle(attempt, (time.time(), None, None, NOT_STARTED, None))

    def _adopt(self, link: Link, keys: Sequence[str]) -> None:
        expected = set(keys)
        if self._restarted:
            for key in expected.difference(self._attempts):
                attempt = self._attempts[key] = Attempt(key, "")
                self._journal.add(journal.intent(attempt))
                self._settle(attempt, (time.time(), None, None, RESTARTED, None))
            self._restarted = False
        link.say(("adopted", [key for key in keys if key in self._attempts]))
        for attempt in list(self._attempts.values()):
            if attempt.key in expected:
                attempt.link = link
                self._tell_all(attempt)
            elif attempt.ended:
                self._forget(attempt.key)
            elif attempt.link is not link:
                attempt.link, attempt.unwanted = None, True
                self._end(attempt, LEFTOVER_GRACE_S)
        self._journal.write()
        self._remember_boot()

    # -- starting

    def _spawn_some(self) -> None:
        if any(link.due == 0.0 for link in self._links.values()):
            self._flush()  # what ended goes out before the next start, which takes its time
        for _ in range(min(_SPAWNS_A_ROUND, len(self._waiting))):
            _, key, command, environment, cwd, _ = self._waiting.popleft()
            self._start(self._attempts[key], command, environment, cwd)
        os.chdir(self.home)

    def _start(self, attempt: Attempt, command: list[str], environment: dict[str, str], cwd: str) -> None:
        environment[ATTEMPT] = attempt.key
        environment[KEEPER] = self._tag
        line = journal.intent(attempt)
        self._journal.add(line)
        if error := self._journal.write():
            self._journal.withdraw(line)
            refused = f"the keeper can't write its journal: {os.strerror(error.errno or 0)}"
            self._settle(attempt, (time.time(), None, None, None, refused), recorded=False)
            return
        attempt.started_at = time.time()
        attempt.born_from = processes.tick()
        try:
            attempt.pid = spawn(command, environment, cwd, attempt.output, self._defaults)
        except RefusedError as error:
            self._settle(attempt, (time.time(), None, None, None, str(error)))
            return
        attempt.born_by = processes.tick()
        self._mains[attempt.pid] = attempt
        self._journal.add(journal.start(attempt))
        self._tell(attempt, ("started", attempt.key, attempt.pid, attempt.started_at), within_s=STARTED_WITHIN_S)

    # -- ending

    def _reap(self) -> None:
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
                self._orphans.pop(pid, None)
            elif seen.si_code == os.CLD_EXITED:
                self._main_ended(attempt, seen.si_status, None)
            else:
                self._main_ended(attempt, None, seen.si_status)
            # Only now that its end is written down does it leave the process table.
            os.waitpid(pid, 0)
            for stop in self._stops.values():
                stop.look_at = 0.0

    def _main_ended(self, attempt: Attempt, code: int | None, number: int | None, lost: str | None = None) -> None:
        outcome = (time.time(), code, number, lost, None)
        if attempt.key not in self._stops and not self._leaves_some(attempt):
            self._settle(attempt, outcome)
            return
        attempt.outcome = outcome
        self._journal.add(journal.end(attempt, whole=False))
        self._journal.write()
        self._stop(attempt, LEFTOVER_GRACE_S)

    def _leaves_some(self, attempt: Attempt) -> bool:
        """Whether processes of it live on. Orphans become our children, so one read of our own children tells."""
        if self._children < 0 or attempt.adopted:
            return bool(self._fresh_snapshot().members(attempt))
        pids = os.pread(self._children, 1 << 20, 0).split()
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

    def _stop(self, attempt: Attempt, grace_s: float) -> None:
        stop = self._stops.get(attempt.key)
        if stop is None:
            self._stops[attempt.key] = Stop(attempt, grace_s)
        else:
            stop.hasten(grace_s)

    def _fresh_snapshot(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = Snapshot(self._tag)
        return self._snapshot

    def _press_on(self) -> None:
        now = time.monotonic()
        for stop in list(self._stops.values()):
            if stop.look_at > now or not stop.press(self._fresh_snapshot):
                continue
            attempt = stop.attempt
            if attempt.outcome is not None:
                del self._stops[attempt.key]
                self._settle(attempt, attempt.outcome)

    def _settle(self, attempt: Attempt, outcome: Outcome, *, recorded: bool = True) -> None:
        """It is over and nothing of it is left: write it down, then tell."""
        attempt.outcome = outcome
        attempt.ended = True
        if recorded:
            self._journal.add(journal.end(attempt, whole=True))
            self._journal.write()
        if attempt.unwanted:
            self._forget(attempt.key)
        else:
            self._tell(attempt, ("ended", attempt.key, *outcome))

    # -- telling

    def _tell(self, attempt: Attempt, message: Sequence[Any], within_s: float = 0.0) -> None:
        link = attempt.link
        if link is not None and link.fileno() in self._links:
            link.say(message, time.monotonic() + within_s if within_s else 0.0)

    def _tell_all(self, attempt: Attempt) -> None:
        if attempt.pid:
            self._tell(attempt, ("started", attempt.key, attempt.pid, attempt.started_at))
        if attempt.ended and attempt.outcome is not None:
            self._tell(attempt, ("ended", attempt.key, *attempt.outcome))

    def _flush(self) -> None:
        self._journal.write()
        self._journal.compact(self._attempts.values(), len(self._attempts))
        now = time.monotonic()
        for link in list(self._links.values()):
            if link.due > now:
                continue
            try:
                done = link.send()
            except OSError:
                self._drop(link)
                continue
            if done is link.stuck:
                link.stuck = not done
                self._epoll.modify(link.fileno(), select.EPOLLIN if done else select.EPOLLIN | select.EPOLLOUT)

    # -- after a keeper's death

    def recover(self) -> None:
        """Take over what the journal of the keeper before this one tells."""
        self._attempts = self._journal.load()
        before = os.pread(self._lock, 64, 0).decode("ascii", "replace").strip()
        if not before:
            self._remember_boot()
        self._restarted = bool(before) and before != processes.boot_id()
        for attempt in list(self._attempts.values()):
            attempt.adopted = True
            if attempt.ended:
                continue
            if self._restarted:
                self._settle(attempt, attempt.outcome or (time.time(), None, None, RESTARTED, None))
            elif attempt.outcome is not None:
                self._stop(attempt, LEFTOVER_GRACE_S)
            elif attempt.pid or self._find_started(attempt):
                self._take_over(attempt)
        if self._attempts:
            _say(f"took over {len(self._attempts)} attempts, {len(self._watched)} of them running")

    def _find_started(self, attempt: Attempt) -> bool:
        """An intent without a start: is there a process of it?

        Its output file is there from before its first instruction on: without it, it never started.
        """
        marked = self._fresh_snapshot().marked(attempt.key)
        leaders = [process for process in marked if process.session == process.pid]
        if marked:
            main = (leaders or marked)[0]
            attempt.pid, attempt.born_from, attempt.born_by = main.pid, main.born, main.born
            attempt.started_at = time.time()
            self._journal.add(journal.start(attempt))
            return True
        if os.path.exists(attempt.output):
            self._settle(attempt, (time.time(), None, None, UNSURE, None))
        else:
            del self._attempts[attempt.key]
            self._journal.add(journal.forget(attempt.key))
        return False

    def _take_over(self, attempt: Attempt) -> None:
        try:
            attempt.pidfd = os.pidfd_open(attempt.pid)
        except ProcessLookupError:
            self._main_ended(attempt, None, None, UNSEEN)
            return
        process = processes.look(attempt.pid)
        if process is None or not attempt.is_process(process.born):
            os.close(attempt.pidfd)
            attempt.pidfd = -1
            self._main_ended(attempt, None, None, UNSEEN)
            return
        attempt.born_from = attempt.born_by = process.born
        self._watched[attempt.pidfd] = attempt
        self._epoll.register(attempt.pidfd, select.EPOLLIN)

    def _unwatch(self, attempt: Attempt) -> None:
        """A process that we watch but did not start has ended."""
        how = processes.how_it_ended(attempt.pidfd, attempt.pid, attempt.born_from)
        self._epoll.unregister(attempt.pidfd)
        del self._watched[attempt.pidfd]
        self._main_ended(attempt, *(how or (None, None)), None if how else UNTOLD)
        os.close(attempt.pidfd)
        attempt.pidfd = -1
        for stop in self._stops.values():
            stop.look_at = 0.0

    def _remember_boot(self) -> None:
        """Which boot the journal is of. Synced: it has to tell the next boot that this one is over."""
        now = processes.boot_id()
        if os.pread(self._lock, 64, 0).decode("ascii", "replace").strip() != now:
            os.pwrite(self._lock, now.encode() + b"\n", 0)
            os.fsync(self._lock)
