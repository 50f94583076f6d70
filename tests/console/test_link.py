"""The link to an engine: it follows, survives, comes back, and never makes the screen wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from console.client import find_endpoint
from console.link import Answer, Link
from console.news import MOST_EVENTS, MOST_TASKS, LinkState, News
from tests.console.conftest import until
from tests.console.small_engine import SmallEngine, task


class Listening:
    """What a screen would have heard of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.states: list[LinkState] = []
        self.news: list[News] = []
        self.collected_at: list[float] = []
        self.frozen = False

    @property
    def seqs(self) -> list[int]:
        return [int(message["seq"]) for news in self.news for message in news.tail]

    @property
    def phase(self) -> str:
        return self.states[-1].phase if self.states else "connecting"

    def collect(self) -> None:
        self.collected_at.append(time.monotonic())
        self.link.collect()


def wake(collect: Callable[[], None]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(collect)

    return call


@asynccontextmanager
async def listening(engine: SmallEngine, since: int | None = 0, wake_every_s: float = 0.05) -> AsyncIterator[Listening]:
    link = Link(lambda: find_endpoint(engine.home), wake_every_s=wake_every_s).start()
    heard = Listening(link)
    link.attach(wake(heard.collect))
    link.follow(since, on_news=heard.news.append, on_state=heard.states.append)
    try:
        yield heard
    finally:
        link.stop()


async def test_hears_what_happened_since_the_window_and_what_happens_now(small_engine: SmallEngine) -> None:
    small_engine.turns(1, "running")
    seen = small_engine.turns(2, "running")
    small_engine.turns(3, "running")
    async with listening(small_engine, since=seen) as heard:
        await until(lambda: heard.phase == "live")
        small_engine.turns(4, "running")
        await until(lambda: len(heard.seqs) == 2)
        assert heard.seqs == [3, 4]
        assert heard.states[-1].version == small_engine.version


async def test_comes_back_after_a_restart_and_misses_nothing(small_engine: SmallEngine) -> None:
    async with listening(small_engine) as heard:
        await until(lambda: heard.phase == "live")
        small_engine.turns(0, "running")
        await until(lambda: heard.seqs == [1])
        stopped_at = time.time()
        small_engine.stop()
        await until(lambda: heard.phase == "lost")
        assert abs(heard.states[-1].since - stopped_at) < 2
        await until(lambda: "start one with" in heard.states[-1].detail)
        assert len({state.since for state in heard.states if state.phase == "lost"}) == 1
        for index in range(1, 50):
            small_engine.turns(index, "running")
        small_engine.start()
        back_at = time.monotonic()
        await until(lambda: heard.phase == "live")
        await until(lambda: len(heard.seqs) == 50)
        assert time.monotonic() - back_at < 2, "an engine that says where it is is met at once"
        assert heard.seqs == list(range(1, 51))


async def test_waits_for_an_engine_that_is_not_there_yet(small_engine: SmallEngine) -> None:
    small_engine.stop()
    async with listening(small_engine, since=None) as heard:
        await until(lambda: heard.phase == "lost")
        small_engine.start()
        await until(lambda: heard.phase == "live")
        small_engine.turns(0, "running")
        await until(lambda: heard.seqs == [1])


async def test_says_when_the_key_is_refused(small_engine: SmallEngine) -> None:
    small_engine.key = "another"
    async with listening(small_engine) as heard:
        await until(lambda: heard.phase == "lost")
        assert heard.states[-1].detail == "the engine refuses this key: unknown key"
        small_engine.key = "k" * 32
        await until(lambda: heard.phase == "live")


async def test_follows_another_store_from_where_that_one_stands(small_engine: SmallEngine) -> None:
    async with listening(small_engine, since=900) as heard:
        await until(lambda: heard.phase == "live")
        small_engine.turns(0, "running")
        await until(lambda: heard.seqs == [1])
        assert any(news.again for news in heard.news)


async def test_reads_again_when_the_engine_says_that_it_lagged(small_engine: SmallEngine) -> None:
    for index in range(5):
        small_engine.turns(index, "running")
    small_engine.replay_only_from = 3
    async with listening(small_engine, since=1) as heard:
        await until(lambda: heard.seqs == [4, 5])
        assert any(news.again for news in heard.news)


async def test_a_screen_that_stalls_keeps_its_link_and_finds_the_newest_state(small_engine: SmallEngine) -> None:
    small_engine.rows = 10_000
    async with listening(small_engine) as heard:
        await until(lambda: heard.phase == "live")
        for index in range(3_000):
            small_engine.turns(index % 7, "running", attempt=index)
        for index in range(MOST_TASKS + 100):
            small_engine.turns(index + 10, "completed")
        time.sleep(3)  # noqa: ASYNC251 - the screen's thread does nothing at all, as when its terminal is not read
        await until(lambda: heard.news and heard.news[-1].seq == len(small_engine.events))
        assert small_engine.asked["/ws"] == 1
        backlog = max(heard.news, key=lambda news: len(news.tasks))
        assert len(backlog.tasks) <= MOST_TASKS
        assert len(backlog.tail) <= MOST_EVENTS
        assert backlog.again
        told: dict[str, int] = {}
        for news in heard.news:
            told |= {key: change.fields["attempt"] for key, change in news.tasks.items()}
        assert told[str(task(2_999 % 7)["id"])] == 2_999


async def test_wakes_the_screen_at_a_pace_it_can_keep(small_engine: SmallEngine) -> None:
    async with listening(small_engine, wake_every_s=0.05) as heard:
        await until(lambda: heard.phase == "live")
        heard.collected_at.clear()
        started = time.monotonic()
        for index in range(500):
            small_engine.turns(index % 50, "running")
            await asyncio.sleep(0.001)
        await until(lambda: heard.seqs and heard.seqs[-1] == 500)
        assert len(heard.collected_at) <= (time.monotonic() - started) / 0.05 + 3


async def test_requests_are_answered_or_say_why_not(small_engine: SmallEngine) -> None:
    answers: list[Answer] = []
    async with listening(small_engine) as heard:
        heard.link.ask("POST", "/v1/queue", {"reason": "x"}, done=answers.append)
        await until(lambda: len(answers) == 1)
        assert answers[0].ok
        small_engine.refused["/v1/queue"] = (409, "it is paused already")
        heard.link.ask("POST", "/v1/queue", done=answers.append)
        await until(lambda: len(answers) == 2)
        trouble = answers[1].trouble
        assert trouble is not None
        assert (trouble.status, trouble.message, trouble.trace_id) == (409, "it is paused already", "trace-1")
        small_engine.stop()
        heard.link.ask("POST", "/v1/queue", done=answers.append)
        heard.link.get("/v1/tasks", {}, answers.append)
        await until(lambda: len(answers) == 4, seconds=3)
        assert all(answer.trouble is not None and answer.trouble.gone for answer in answers[2:])


async def test_what_was_asked_before_there_was_a_screen_is_answered_then(small_engine: SmallEngine) -> None:
    link = Link(lambda: find_endpoint(small_engine.home)).start()
    answers: list[Answer] = []
    link.get("/v1/queue", {}, answers.append)
    await until(lambda: small_engine.asked["/v1/queue"])
    assert answers == []
    link.attach(wake(link.collect))
    await until(lambda: answers)
    link.stop()


@pytest.mark.parametrize("trouble", [OSError("boom"), ValueError("bad")])
async def test_an_answer_that_makes_no_sense_is_told_as_trouble(small_engine: SmallEngine, trouble: Exception) -> None:
    def find() -> object:
        raise trouble

    link = Link(find).start()  # type: ignore[arg-type]
    answers: list[Answer] = []
    link.get("/v1/queue", {}, answers.append)
    link.attach(wake(link.collect))
    await until(lambda: answers)
    assert answers[0].trouble is not None
    assert str(trouble) in answers[0].trouble.message
    link.stop()
