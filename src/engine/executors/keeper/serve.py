"""The keeper's loop: one thread, one epoll, no wake-up without a cause."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time

from engine.executors.keeper import frames
from engine.executors.keeper.link import NEVER, Door, Link
from engine.executors.keeper.takeover import TakeOver
from engine.executors.keeper.ward import Ward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

IDLE_S = float(os.environ.get("SHOPFLOOR_KEEPER_IDLE_S", "10"))
"""With nothing to keep and nobody to talk to, it goes after this long."""
_HOME_CHECK_S = 60.0
_RETRY_WRITE_S = 1.0


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
    """Answers once it is made: by then it knows again what a keeper before it knew."""

    def __init__(self, home: str, version: str, lock: int) -> None:
        self._home = home
        self._version = version
        self._links: dict[int, Link] = {}
        self._retiring = False
        self._quiet_since = time.monotonic()
        self._ward = Ward(home)
        self._epoll = select.epoll()
        self._wake = self._heed_signals()
        self._takeover = TakeOver(self._ward, self._epoll, lock)
        if count := self._takeover.run():
            _say(f"took over {count} attempts, {len(self._takeover.watched)} of them running")
        self._door = Door("keeper.sock")
        self._epoll.register(self._door.fileno(), select.EPOLLIN)

    def _heed_signals(self) -> int:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(reading, select.EPOLLIN)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        # It goes when nothing is left to keep; whoever means to end it all the same uses KILL.
        for each in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: None)
        return reading

    def run(self) -> None:
        ward = self._ward
        while not self._may_go():
            ward.new_round()
            for fd, _ in self._epoll.poll(self._timeout()):
                self._attend(fd)
            if ward.stops:
                ward.press_on()
            if ward.waiting:
                if any(link.due == 0.0 for link in self._links.values()):
                    self._flush()  # what ended goes out before the next start, which takes its time
                ward.start_some()
            self._flush()
        self._leave()

    def _attend(self, fd: int) -> None:
        if fd == self._wake:
            os.read(fd, 4096)
            self._ward.reap()
        elif (link := self._links.get(fd)) is not None:
            self._read(link)
        elif fd in self._takeover.watched:
            self._takeover.ended(fd)
        elif fd == self._door.fileno():
            for link in self._door.accept():
                self._links[link.fileno()] = link
                self._epoll.register(link.fileno(), select.EPOLLIN)

    def _timeout(self) -> float | None:
        ward = self._ward
        if ward.waiting:
            return 0
        now = time.monotonic()
        times = [stop.look_at for stop in ward.stops.values()]
        times += [link.due for link in self._links.values() if link.due < NEVER and not link.stuck]
        if ward.journal.behind:
            times.append(now + _RETRY_WRITE_S)
        if not self._links:
            times.append(now + _HOME_CHECK_S if ward.attempts else self._quiet_since + IDLE_S)
        return max(0.0, min(times) - now) if times else None

    def _may_go(self) -> bool:
        if not self._ward.attempts:
            return self._retiring or (not self._links and time.monotonic() >= self._quiet_since + IDLE_S)
        # Records wait for an engine; where the whole home was deleted, none will ever ask.
        return not self._links and not os.path.exists(self._home) and not self._ward.runs_something

    def _leave(self) -> None:
        self._door.close()
        for link in self._links.values():
            link.close()
        if os.path.exists("keeper.journal"):
            os.unlink("keeper.journal")

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
            self._ward.launch(link, message)
        elif word == "forget":
            for key in message[1]:
                self._ward.forget(key)
        elif word == "cancel":
            self._ward.cancel(link, message[1], message[2])
        elif word == "adopt":
            self._takeover.answer_for(message[1])
            self._ward.adopt(link, message[1])
        elif word == "hello":
            link.say(("welcome", frames.PROTOCOL, self._version, os.getpid()))
        elif word == "retire":
            self._retiring = True
        else:
            _say(f"a peer said {word!r}, which is not known here")

    def _flush(self) -> None:
        self._ward.journal.write()
        self._ward.journal.compact(self._ward.attempts.values(), len(self._ward.attempts))
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

    def _drop(self, link: Link) -> None:
        self._epoll.unregister(link.fileno())
        del self._links[link.fileno()]
        link.close()
        self._quiet_since = time.monotonic()
