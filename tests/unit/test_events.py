"""What a follower of the stream gets, wherever it begins and however slow it is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import events as hub_module
from engine.events import Event, EventHub, Lagged, Subscription
from engine.store.event_reads import prune_events
from engine.store.writer import Transaction
from tests.unit.store_parts import NOW, Store, opened


def event(seq: int, kind: str = "task.running", subject: str = "a") -> Event:
    return Event(seq, NOW, kind, subject, {})


@pytest.fixture
def small_ring(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(hub_module, "RING", 8)
    return 8


class Log:
    """A stand-in for the stored events, from which the oldest can be dropped."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0

    async def replay(self, since: int, limit: int) -> Sequence[Event]:
        self.reads += 1
        return [event for event in self.events if event.seq > since][:limit]


def hub_of(log: Log, newest: int = 0) -> EventHub:
    log.events = [event(seq) for seq in range(1, newest + 1)]
    return EventHub(newest, log.replay)


def publish(hub: EventHub, log: Log, count: int, kind: str = "task.running", subject: str = "a") -> None:
    new = [event(hub.newest + n, kind, subject) for n in range(1, count + 1)]
    log.events += new
    hub.publish(new)


async def take(subscription: Subscription, count: int) -> list[Event | Lagged]:
    async with asyncio.timeout(10):
        return [await anext(subscription) for _ in range(count)]


def seqs(items: Sequence[Event | Lagged]) -> list[int]:
    assert all(isinstance(item, Event) for item in items)
    return [item.seq for item in items]


async def test_a_follower_gets_what_comes_from_now_on() -> None:
    log = Log()
    hub = hub_of(log, newest=5)
    subscription = hub.subscribe()
    publish(hub, log, 3)
    assert seqs(await take(subscription, 3)) == [6, 7, 8]
    assert log.reads == 0


async def test_a_waiting_follower_is_woken_by_what_is_published() -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe()
    waiting = asyncio.ensure_future(take(subscription, 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    publish(hub, log, 1)
    assert seqs(await waiting) == [1]


async def test_a_cursor_within_the_ring_needs_no_store() -> None:
    log = Log()
    hub = hub_of(log)
    publish(hub, log, 10)
    assert seqs(await take(hub.subscribe(since=4), 6)) == [5, 6, 7, 8, 9, 10]
    assert log.reads == 0


async def test_an_older_cursor_is_replayed_from_the_store_and_then_follows() -> None:
    log = Log()
    hub = hub_of(log, newest=2500)
    subscription = hub.subscribe(since=0)
    assert seqs(await take(subscription, 2500)) == list(range(1, 2501))
    publish(hub, log, 2)
    assert seqs(await take(subscription, 2)) == [2501, 2502]


async def test_a_slow_reader_is_told_once_and_misses_nothing(small_ring: int) -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe()
    publish(hub, log, 3)
    first = await take(subscription, 3)
    publish(hub, log, small_ring + 4)
    notice, *rest = await take(subscription, 1 + small_ring + 4)
    assert notice == Lagged(seq=3, newest=small_ring + 7)
    assert seqs([*first, *rest]) == list(range(1, small_ring + 8))
    publish(hub, log, 1)
    assert seqs(await take(subscription, 1)) == [small_ring + 8]
    publish(hub, log, 30)
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    assert await waiting == Lagged(seq=small_ring + 8, newest=small_ring + 38), "a new episode is told again"


async def test_a_reader_that_takes_nothing_costs_nothing_but_its_place(small_ring: int) -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe()
    for _ in range(100):
        publish(hub, log, 10)
    assert subscription.seq == 0
    assert len(hub._ring) <= 8192
    notice, *rest = await take(subscription, 1001)
    assert notice == Lagged(0, 1000)
    assert seqs(rest) == list(range(1, 1001))


async def test_events_that_are_no_longer_kept_are_told_as_missing() -> None:
    log = Log()
    hub = hub_of(log, newest=100)
    log.events = log.events[60:]
    notice, *rest = await take(hub.subscribe(since=20), 41)
    assert notice == Lagged(seq=60, newest=100, missing=40)
    assert seqs(rest) == list(range(61, 101))


async def test_when_nothing_is_kept_the_reader_is_told_and_goes_on_from_the_ring() -> None:
    log = Log()
    hub = hub_of(log, newest=100)
    log.events = []
    subscription = hub.subscribe(since=20)
    assert await take(subscription, 1) == [Lagged(seq=100, newest=100, missing=80)]
    publish(hub, log, 1)
    assert seqs(await take(subscription, 1)) == [101]


async def test_a_cursor_from_another_store_is_told_where_this_one_stands() -> None:
    log = Log()
    hub = hub_of(log, newest=10)
    subscription = hub.subscribe(since=5000)
    assert await take(subscription, 1) == [Lagged(seq=10, newest=10)]
    publish(hub, log, 1)
    assert seqs(await take(subscription, 1)) == [11]


async def test_a_replay_that_runs_ahead_of_what_is_published_repeats_nothing() -> None:
    log = Log()
    hub = hub_of(log, newest=5)
    log.events += [event(6), event(7)]
    subscription = hub.subscribe(since=0)
    assert seqs(await take(subscription, 7)) == [1, 2, 3, 4, 5, 6, 7]
    hub.publish([event(6), event(7)])
    log.events.append(event(8))
    hub.publish([event(8)])
    assert seqs(await take(subscription, 1)) == [8]


async def test_a_gap_in_what_is_published_is_read_from_the_store() -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe(since=0)
    log.events = [event(1), event(2), event(3)]
    hub.publish([event(3)])
    notice, *rest = await take(subscription, 4)
    assert notice == Lagged(seq=0, newest=3)
    assert seqs(rest) == [1, 2, 3]


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ([], [1, 2, 3, 4, 5]),
        (["task"], [1, 2, 3]),
        (["task.failed"], [2, 3]),
        (["task:b"], [3]),
        (["task.failed:a"], [2]),
        (["queue", "task:b"], [3, 4]),
        (["tas"], []),
        (["task:none"], []),
    ],
)
async def test_topics_narrow_the_stream(topics: list[str], expected: list[int]) -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe(topics=topics)
    publish(hub, log, 1, "task.running", "a")
    publish(hub, log, 1, "task.failed", "a")
    publish(hub, log, 1, "task.failed", "b")
    publish(hub, log, 1, "queue.paused", "queue")
    publish(hub, log, 1, "tasks_of_old", "a")
    reading = asyncio.ensure_future(_all(subscription))
    await asyncio.sleep(0)
    hub.close()
    assert seqs(await reading) == expected


async def _all(subscription: Subscription) -> list[Event | Lagged]:
    return [item async for item in subscription]


async def test_a_reader_of_a_quiet_topic_never_lags(small_ring: int) -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe(topics=["task:b"])
    waiting = asyncio.ensure_future(anext(subscription))
    for _ in range(10):
        await asyncio.sleep(0)
        publish(hub, log, 5)
    await asyncio.sleep(0)
    publish(hub, log, 1, subject="b")
    assert await waiting == event(51, subject="b")


async def test_closing_ends_a_reader_that_waits() -> None:
    hub = hub_of(Log())
    async with hub.subscribe() as subscription:
        waiting = asyncio.ensure_future(_all(subscription))
        await asyncio.sleep(0)
        subscription.close()
        assert await waiting == []
    ended = asyncio.ensure_future(_all(hub.subscribe()))
    await asyncio.sleep(0)
    hub.close()
    assert await ended == []


async def test_a_batch_is_all_that_is_there() -> None:
    log = Log()
    hub = hub_of(log)
    subscription = hub.subscribe()
    publish(hub, log, 5)
    assert seqs(await subscription.batch()) == [1, 2, 3, 4, 5]
    publish(hub, log, 3)
    assert seqs(await take(subscription, 1)) == [6]
    assert seqs(await subscription.batch()) == [7, 8]


actions = st.lists(st.one_of(st.integers(1, 30), st.just("read"), st.just("prune")), max_size=30)


@given(start=st.integers(0, 40), since=st.integers(0, 40), actions=actions)
@settings(deadline=None)
def test_whatever_the_pace_nothing_is_skipped_without_a_word(start: int, since: int, actions: list[int | str]) -> None:
    async def scenario() -> None:
        log = Log()
        hub = hub_of(log, newest=start)
        subscription = hub.subscribe(since=since)
        expected = min(since, start) + 1
        for action in [*actions, "read"]:
            if isinstance(action, int):
                publish(hub, log, action)
            elif action == "prune":
                log.events = log.events[len(log.events) // 2 :]
            else:
                while subscription.seq < hub.newest:
                    for item in await subscription.batch():
                        expected = _follows(expected, item)
        assert expected == hub.newest + 1

    ring = hub_module.RING
    hub_module.RING = 16
    try:
        asyncio.run(asyncio.wait_for(scenario(), 10))
    finally:
        hub_module.RING = ring


def _follows(expected: int, item: Event | Lagged) -> int:
    """The number that must come next; a notice may only skip what it says is missing."""
    if isinstance(item, Lagged):
        assert item.seq + 1 - item.missing == expected
        return item.seq + 1
    assert item.seq == expected
    return item.seq + 1


@asynccontextmanager
async def followed(folder: Path) -> AsyncIterator[tuple[Store, EventHub]]:
    async with opened(folder) as store:
        hub = EventHub(await store.reads.newest_event(), store.reads.events)
        store.writer._publish = hub.publish
        yield store, hub


def say(subject: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.event("said", subject, {"text": "ü", "n": [1, None, 2.5]})


async def test_the_stream_goes_on_over_a_restart(tmp_path: Path) -> None:
    async with followed(tmp_path) as (store, _):
        for name in "abc":
            await store.writer.run(say(name))
    async with followed(tmp_path) as (store, hub):
        subscription = hub.subscribe(since=1)
        await store.writer.run(say("d"))
        items = await take(subscription, 3)
        assert [(item.seq, item.subject) for item in items if isinstance(item, Event)] == [(2, "b"), (3, "c"), (4, "d")]
        assert all(isinstance(item, Event) and item.data == {"text": "ü", "n": [1, None, 2.5]} for item in items)


async def test_pruned_events_are_told_to_who_asks_for_them(tmp_path: Path) -> None:
    async with followed(tmp_path) as (store, _):
        await store.writer.run(lambda tx: [say(str(n))(tx) for n in range(6000)])
        await store.writer.run(lambda tx: tx.execute("UPDATE events SET at = at + 100 WHERE seq > 5500"))
        assert await prune_events(store.writer, NOW + 50) == 5500
        assert await prune_events(store.writer, NOW + 50) == 0
    async with followed(tmp_path) as (store, hub):
        notice, *rest = await take(hub.subscribe(since=10), 501)
        assert notice == Lagged(seq=5500, newest=6000, missing=5490)
        assert seqs(rest) == list(range(5501, 6001))
        assert await prune_events(store.writer, NOW + 500) == 500
        await store.writer.run(say("next"))
        assert hub.newest == 6001


async def test_an_event_behind_a_newer_one_waits_for_it_to_be_pruned(tmp_path: Path) -> None:
    """The clock may have been set back: what is deleted is always the oldest part of the stream, without gaps."""
    async with followed(tmp_path) as (store, _):
        await store.writer.run(lambda tx: [say(str(n))(tx) for n in range(10)])
        await store.writer.run(lambda tx: tx.execute("UPDATE events SET at = at + 100 WHERE seq = 4"))
        assert await prune_events(store.writer, NOW + 50) == 3
        assert [event.seq for event in await store.reads.events(0, 100)] == [4, 5, 6, 7, 8, 9, 10]
