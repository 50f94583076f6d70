"""Events after their commit: a ring of the newest, and subscriptions that follow it from any point."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from engine.store.rows import Event

__all__ = ["Event", "EventHub", "Lagged", "Subscription"]

RING = 8192
_REPLAY = 1000
_AT_ONCE = 1000

Replay = Callable[[int, int], Awaitable[Sequence[Event]]]
"""`replay(since, limit)`: the oldest `limit` stored events after `since`, in order."""


@dataclass(frozen=True, slots=True)
class Lagged:
    """A notice to a reader that fell behind: it stands after `seq`, the stream is at `newest`.

    What lies between follows, read from the store, save for `missing` events right before `seq`, which are older
    than what is kept and are gone.
    """

    seq: int
    newest: int
    missing: int = 0


class EventHub:
    """Hands the events of each commit to whoever follows. All of it runs on the loop.

    A subscription is a cursor: it holds no events of its own, so a slow reader costs nothing but its place.
    """

    def __init__(self, newest: int, replay: Replay) -> None:
        """`newest` is the last event's number in the store."""
        self.newest = newest
        self.oldest = newest + 1
        self.closed = False
        self._replay = replay
        self._ring: list[Event | None] = [None] * RING
        self._waiting: set[asyncio.Future[None]] = set()

    def publish(self, events: list[Event]) -> None:
        """Take the events of a commit. Where they don't follow the newest, what is between is read from the store."""
        for event in events:
            if event.seq != self.newest + 1:
                self.oldest = event.seq
            self._ring[event.seq % RING] = event
            self.newest = event.seq
        self.oldest = max(self.oldest, self.newest - RING + 1)
        self.wake()

    def subscribe(self, since: int | None = None, topics: Sequence[str] = ()) -> "Subscription":
        """Follow from after `since`, by default from now.

        `topics` narrows it to any of: a kind (`task.failed`), a family of kinds (`task`), and of either what is about
        one subject (`task:ID`). None of them means everything.
        """
        return Subscription(self, since, topics)

    def close(self) -> None:
        """End every subscription."""
        self.closed = True
        self.wake()

    def held(self, cursor: int) -> list[Event] | None:
        """The next events after `cursor` that the ring holds; None when it no longer holds the first of them."""
        if cursor + 1 < self.oldest:
            return None
        last = min(self.newest, cursor + _AT_ONCE)
        return [event for seq in range(cursor + 1, last + 1) if (event := self._ring[seq % RING]) is not None]

    async def stored(self, cursor: int) -> Sequence[Event]:
        return await self._replay(cursor, _REPLAY)

    async def wait(self) -> None:
        """Until something is published, or the hub is closed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)

    def wake(self) -> None:
        """Let every waiting reader look again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()


class Subscription:
    """An asynchronous iterator over events in order, with a `Lagged` where the reader fell behind.

    For one reader. `seq` is where it stands: everything up to it was delivered, or did not match.
    """

    def __init__(self, hub: EventHub, since: int | None, topics: Sequence[str]) -> None:
        self.seq = hub.newest if since is None else min(since, hub.newest)
        self._hub = hub
        self._topics = Topics(topics)
        self._caught_up = self.seq == hub.newest
        self._closed = False
        self._ready: list[Event | Lagged] = []
        if since is not None and since > hub.newest:
            self._ready.append(Lagged(self.seq, hub.newest))

    async def batch(self) -> list[Event | Lagged]:
        """All that is there, in order and never nothing; an empty list once the hub or the subscription is closed."""
        if self._ready:
            ready, self._ready = self._ready[::-1], []
            return ready
        while not (self._hub.closed or self._closed):
            if self.seq >= self._hub.newest:
                await self._hub.wait()
            elif found := await self._next():
                return found
        return []

    def __aiter__(self) -> AsyncIterator[Event | Lagged]:
        return self

    async def __anext__(self) -> Event | Lagged:
        if not self._ready:
            self._ready = (await self.batch())[::-1]
            if not self._ready:
                raise StopAsyncIteration
        return self._ready.pop()

    def close(self) -> None:
        """End the iteration, also for a reader that waits."""
        self._closed = True
        self._hub.wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _next(self) -> list[Event | Lagged]:
        held = self._hub.held(self.seq)
        if held is not None:
            return self._take(held)
        notices: list[Event | Lagged] = []
        if self._caught_up:
            self._caught_up = False
            notices.append(Lagged(self.seq, self._hub.newest))
        stored = await self._hub.stored(self.seq)
        following = stored[0].seq if stored else self._hub.oldest
        missing = following - self.seq - 1
        if missing > 0:
            self.seq = following - 1
            notices.append(Lagged(self.seq, self._hub.newest, missing))
        return notices + self._take(stored)

    def _take(self, events: Sequence[Event]) -> list[Event | Lagged]:
        if events:
            self.seq = events[-1].seq
        self._caught_up = self._caught_up or self.seq >= self._hub.newest
        return [event for event in events if self._topics.match(event)]


class Topics:
    """Which events a reader wants. The answer for each kind is remembered: there are few kinds and many events."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._wanted = [
            (kind, subject if colon else None) for kind, colon, subject in (t.partition(":") for t in topics)
        ]
        self._kinds: dict[str, frozenset[str] | None] = {}

    def match(self, event: Event) -> bool:
        if not self._wanted:
            return True
        if event.kind not in self._kinds:
            self._kinds[event.kind] = self._subjects(event.kind)
        subjects = self._kinds[event.kind]
        return subjects is None or event.subject in subjects

    def _subjects(self, kind: str) -> frozenset[str] | None:
        """The subjects that are wanted of this kind; None is all of them."""
        subjects = [subject for wanted, subject in self._wanted if kind == wanted or kind.startswith(f"{wanted}.")]
        return None if None in subjects else frozenset(subject for subject in subjects if subject is not None)
