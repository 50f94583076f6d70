"""Attempts as processes of this machine, started and watched by the keeper.

What a process may use is not limited here: it gets the limits (open files, memory, cgroup) of the engine that
started the keeper. A process that the kernel kills for memory shows as ended by signal 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.executors.base import AttemptKey, Ended, Launch, OnReports, Report, Started
from engine.executors.keeper import processes
from engine.executors.keeper.spawn import NO_ROOM
from engine.executors.keeper_client import ANSWER_S, KeeperError, KeeperLink, connect, stuck
from engine.settings import Home

if TYPE_CHECKING:
    from engine.executors.keeper.frames import Message
    from engine.executors.keeper.journal import Outcome

_log = logging.getLogger(__name__)

_LAUNCHES_A_FRAME = 64
_FORGET_AFTER_S = 0.05
_MEND_PAUSE_S = 1.0

RECORD_GONE = "the keeper's record of it is gone"
NOT_STARTED = "cancelled before it started"


class _Track:
    """What the engine's side knows of an attempt until it is forgotten."""

    __slots__ = ("ended", "grace_s", "key", "launch", "pid", "pidfd", "started")

    def __init__(self, key: AttemptKey, launch: Launch | None) -> None:
        self.key = key
        self.launch = launch
        self.started = False
        self.ended = False
        self.grace_s: float | None = None
        self.pid = 0
        self.pidfd = -1

    def hold(self) -> None:
        """Keep hold of its process while no keeper watches it, so that how it ends can be told."""
        if self.started and not self.ended and self.pidfd < 0:
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(self.pid)

    def let_go(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class ProcessExecutor:
    """Runs attempts through the keeper of a home; the engine may die and come back, and so may the keeper."""

    name = "process"

    def __init__(self, home: Home) -> None:
        self._home = home
        self._tracks: dict[str, _Track] = {}
        self._link: KeeperLink | None = None
        self._on_reports: OnReports | None = None
        self._forgotten: list[str] = []
        self._forget_timer: asyncio.TimerHandle | None = None
        self._adopted: asyncio.Future[list[str]] | None = None
        self._adopting: frozenset[str] = frozenset()
        self._mending: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self, on_reports: OnReports) -> None:
        """Connect to the keeper, starting it when none answers. Raises `KeeperError`."""
        self._on_reports = on_reports
        await self._connect()

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's pid while the link to it is up."""
        return None if self._link is None else self._link.keeper_pid

    async def adopt(self, expected: Sequence[AttemptKey]) -> set[AttemptKey]:
        fresh = {_word(key): _Track(key, None) for key in expected}
        self._tracks = {**fresh, **self._tracks}
        self._adopting = frozenset(fresh)
        while True:
            try:
                known = await self._ask_for(list(self._tracks))
                break
            except ConnectionError:
                if self._mending is not None:
                    await asyncio.shield(self._mending)
        self._adopting = frozenset()
        for word in fresh.keys() - known:
            self._tracks.pop(word, None)
        return {track.key for word, track in fresh.items() if word in known}

    def launch(self, launches: Sequence[Launch]) -> None:
        fresh = []
        for launch in launches:
            word = _word(launch.key)
            if word not in self._tracks:
                self._tracks[word] = _Track(launch.key, launch)
                fresh.append(_launch_message(word, launch))
        for at in range(0, len(fresh), _LAUNCHES_A_FRAME):
            self._say(fresh[at : at + _LAUNCHES_A_FRAME])

    def cancel(self, key: AttemptKey, grace_s: float) -> None:
        word = _word(key)
        track = self._tracks.get(word)
        if track is None:
            track = self._tracks[word] = _Track(key, None)
        track.grace_s = grace_s
        self._say([("cancel", word, grace_s)])

    def forget(self, keys: Sequence[AttemptKey]) -> None:
        for key in keys:
            word = _word(key)
            self._tracks.pop(word, None)
            self._forgotten.append(word)
        if self._forgotten and self._forget_timer is None and not self._closed:
            # Nothing waits for it: it rides along with the next launch, else goes by itself.
            self._forget_timer = asyncio.get_running_loop().call_later(_FORGET_AFTER_S, self._say, ())

    async def close(self) -> None:
        if self._forgotten:
            self._say(())
        self._closed = True
        if self._forget_timer is not None:
            self._forget_timer.cancel()
        if self._mending is not None:
            self._mending.cancel()
        if self._link is not None:
            self._link.hang_up()
            self._link = None
        for track in self._tracks.values():
            track.let_go()

    # -- the link

    def _say(self, messages: Sequence[Message]) -> None:
        if self._link is None:
            return  # what was launched and cancelled meanwhile is told when the link is back
        if self._forgotten:
            messages = [("forget", self._forgotten), *messages]
            self._forgotten = []
        if self._forget_timer is not None:
            self._forget_timer.cancel()
            self._forget_timer = None
        if messages:
            self._link.say(messages)

    async def _connect(self) -> None:
        self._link = None
        while self._link is None or self._link.over:
            self._link = await connect(self._home, self._heard, self._lost)

    async def _ask_for(self, words: list[str]) -> set[str]:
        """Which of these the keeper knows; their reports follow. Raises ConnectionError when the link breaks.

        Raises KeeperError when no answer comes.
        """
        if self._link is None:
            raise ConnectionError
        self._adopted = asyncio.get_running_loop().create_future()
        self._say([("adopt", words)])
        await asyncio.wait([self._adopted], timeout=ANSWER_S)
        if not self._adopted.done():
            self._link.hang_up()
            self._link = None
            raise KeeperError(stuck(self._home))
        return set(self._adopted.result())

    def _heard(self, messages: list[Message]) -> None:
        reports: list[Report] = []
        for message in messages:
            word = message[0]
            if word == "adopted":
                if self._adopted is not None and not self._adopted.done():
                    self._adopted.set_result(message[1])
                continue
            track = self._tracks.get(message[1])
            if track is None or track.ended:
                continue
            if word == "started" and not track.started:
                track.started = True
                track.pid = message[2]
                reports.append(Started(track.key, message[2], message[3]))
            elif word == "ended":
                reports.append(_ended(track, message[2:]))
        if reports and self._on_reports is not None:
            self._on_reports(reports)

    def _lost(self) -> None:
        self._link = None
        if self._adopted is not None and not self._adopted.done():
            self._adopted.set_exception(ConnectionError("the keeper is gone"))
        if self._closed:
            return
        for track in self._tracks.values():
            track.hold()
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._mend())

    async def _mend(self) -> None:
        """Bring the keeper back and tell it what it has to know."""
        while not self._closed:
            try:
                await self._connect()
                known = await self._ask_for(list(self._tracks))
            except ConnectionError:
                continue
            except KeeperError as error:
                _log.error("no task can be started or watched: %s", error)
                await asyncio.sleep(_MEND_PAUSE_S)
                continue
            self._tell_again(known)
            if self._link is not None:
                return

    def _tell_again(self, known: set[str]) -> None:
        reports: list[Report] = []
        now = time.time()
        for word, track in list(self._tracks.items()):
            if track.ended or (word in self._adopting and word not in known):
                continue
            if word in known:
                if track.grace_s is not None:
                    self._say([("cancel", word, track.grace_s)])
            elif track.started or track.launch is None:
                reports.append(_ended(track, (now, None, None, RECORD_GONE, None)))
            elif track.grace_s is not None:
                reports.append(_ended(track, (now, None, None, NOT_STARTED, None)))
            else:
                self._say([_launch_message(word, track.launch)])
        if reports and self._on_reports is not None:
            self._on_reports(reports)


def _word(key: AttemptKey) -> str:
    return f"{key[0]}#{key[1]}"


def _launch_message(word: str, launch: Launch) -> Message:
    return (
        "launch",
        word,
        list(launch.command),
        dict(launch.environment),
        str(launch.cwd),
        str(launch.output),
    )


def _ended(track: _Track, outcome: Outcome) -> Ended:
    at, code, signal, lost, refused = outcome
    track.ended = True
    track.launch = None
    if lost is not None and track.pidfd >= 0 and (how := processes.how_it_ended(track.pidfd, track.pid, -1)):
        code, signal = how
        lost = None
    track.let_go()
    return Ended(track.key, at, code, signal, lost, refused, no_room=lost == NO_ROOM)
