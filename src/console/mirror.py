"""The part of the engine's state that is on the screen: panes read it here and hold none of their own.

Lives on the screen's thread. A `Feed` is a list of the engine of which a window is held; what happens patches the
rows that are held, and where it may have moved rows the window is read again. Both cost the same whether the list
is of a hundred rows or of a hundred thousand.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from console.detail import Detail
from console.feed import Feed
from console.link import Answer, Done, Link
from console.news import LinkState, News
from console.rows import (
    ApprovalRow,
    CostRow,
    EngineRow,
    EventRow,
    JobRow,
    PhaseRow,
    QueueRow,
    ResourcesRow,
    Row,
    TaskRow,
    UnreadableRow,
    build,
)
from console.tail import Tail

EVENTS_HELD = 1_000
FACTS_EVERY_S = 0.25
"""The queue's counts and the machine's are read again at most this often while tasks come and go."""

Unwatch = Callable[[], None]


class Mirror:
    """What the panes show. `watch` tells when one of these changed:

    `link` (LinkState), `stats` (QueueRow), `resources` (ResourcesRow), `engine` (EngineRow), `events` (the newest
    events, oldest first), `costs_today` and so on in `costs_facts`. The feeds are watched by themselves.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._details: list[Detail] = []
        self._following = False
        self._facts_due: asyncio.TimerHandle | None = None
        self._facts_at = 0.0
        self._facts_asked: set[str] = set()
        self.link = link.state
        self.stats: QueueRow | None = None
        self.resources: ResourcesRow | None = None
        self.engine: EngineRow | None = None
        self.costs_facts: Mapping[str, Any] = {}
        self.events: deque[EventRow] = deque(maxlen=EVENTS_HELD)
        self.events_skipped = 0
        self.tasks = Feed(link.get, "/v1/tasks", TaskRow, rows_at="tasks", sort="order")
        self.jobs = Feed(link.get, "/v1/jobs", JobRow)
        self.phases = Feed(link.get, "/v1/phases", PhaseRow)
        self.costs = Feed(link.get, "/v1/costs", CostRow, rows_at="lines", sort="", whole=True)
        self.approvals = Feed(link.get, "/v1/approvals", ApprovalRow)
        self.costs.on_answer = self._costs_answered
        self._feeds: tuple[tuple[Feed[Any], str], ...] = (
            (self.tasks, "task."),
            (self.jobs, "job."),
            (self.phases, "phase."),
            (self.costs, "call."),
            (self.approvals, "approval."),
        )

    def start(self) -> None:
        """Reads the first windows and follows the engine from there. Called on the running loop, once."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()

        def wake() -> None:
            loop.call_soon_threadsafe(self._link.collect, context=context)

        self._link.attach(wake)
        self.tasks.on_answer = self._begin
        self._read_again()

    def stop(self) -> None:
        self._link.stop()
        if self._facts_due is not None:
            self._facts_due.cancel()

    def watch(self, what: str, changed: Callable[[], None]) -> Unwatch:
        """Calls `changed` whenever `what` has changed; returns how to end that."""
        watchers = self._watchers.setdefault(what, [])
        watchers.append(changed)
        return partial(watchers.remove, changed)

    def ask(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, object] | None = None
    ) -> "asyncio.Future[Answer]":
        """A command to the engine. The future never raises: a refusal, or no engine, stands in `Answer.trouble`."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._link.ask(method, path, body, query=query, done=partial(_resolve, future))
        return future

    def get(self, path: str, **query: object) -> "asyncio.Future[Answer]":
        """Something to read once, off the feeds."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._link.get(path, query, partial(_resolve, future))
        return future

    def tail(self, task_id: str, *, attempt: int, offset: int, heard: Callable[[], None]) -> Tail:
        """Follows what a task prints from byte `offset` on; to be closed by whoever asked for it."""
        return self._link.tail(task_id, attempt=attempt, offset=offset, heard=heard)

    def read(self, path: str, query: Mapping[str, object], done: Done) -> None:
        """Like `get`, with a callback."""
        self._link.get(path, query, done)

    def detail(self, task_id: str) -> Detail:
        """A task with its attempts, artifacts and events, kept current until it is closed."""
        detail = Detail(self._link.get, task_id, self._details.remove)
        self._details.append(detail)
        return detail

    @property
    def stale(self) -> bool:
        """What is shown is from before the link was lost."""
        return self.link.phase == "lost"

    def _begin(self, answer: Answer) -> None:
        """The first window tells from where to follow; without an engine we follow from when there is one."""
        if not self._following:
            self._following = True
            since = int(answer.value.get("seq", 0)) if answer.ok else None
            self._link.follow(since, on_news=self._hear, on_state=self._turn)

    def _turn(self, state: LinkState) -> None:
        was = self.link
        self.link = state
        for feed, _ in self._feeds:
            feed.set_stale(state.phase == "lost")
        if state.live and was.phase == "lost":
            self._read_again()
        self._tell("link")

    def _read_again(self) -> None:
        self.tasks.refresh()
        self._read_facts()
        self._read_fact("engine", EngineRow, "/v1/status")
        for feed, _ in self._feeds[1:]:
            feed.refresh()
        for detail in list(self._details):
            detail.refresh()

    def _hear(self, news: News) -> None:
        try:
            self.events.extend(build(EventRow, message) for message in news.tail)
        except UnreadableRow as error:
            self._unreadable(error)
        self.events_skipped += news.skipped
        self.tasks.apply(news.tasks)
        for detail in list(self._details):
            if detail.task_id in news.tasks:
                detail.apply(news.tasks[detail.task_id])
        if news.again:
            self._read_again()
        else:
            for feed, prefix in self._feeds[1:]:
                if any(kind.startswith(prefix) for kind in news.kinds):
                    feed.refresh()
            self._facts_soon()
        self._tell("events")

    def _facts_soon(self) -> None:
        if self._facts_due is not None:
            return
        wait = max(0.0, self._facts_at + FACTS_EVERY_S - time.monotonic())
        self._facts_due = asyncio.get_running_loop().call_later(wait, self._read_facts)

    def _read_facts(self) -> None:
        if self._facts_due is not None:
            self._facts_due.cancel()
        self._facts_due, self._facts_at = None, time.monotonic()
        self._read_fact("stats", QueueRow, "/v1/queue")
        self._read_fact("resources", ResourcesRow, "/v1/resources")

    def _read_fact(self, name: str, kind: type[Row], path: str) -> None:
        if name not in self._facts_asked:
            self._facts_asked.add(name)
            self._link.get(path, {}, partial(self._fact, name, kind))

    def _fact(self, name: str, kind: type[Row], answer: Answer) -> None:
        self._facts_asked.discard(name)
        if not answer.ok:
            return
        try:
            row = build(kind, answer.value)
        except UnreadableRow as error:
            self._unreadable(error)
            return
        if row != getattr(self, name):
            setattr(self, name, row)
            self._tell(name)

    def _unreadable(self, error: UnreadableRow) -> None:
        """Says that the engine speaks another version than this console."""
        detail = f"the engine ({self.link.version or 'of another version'}) is not understood: {error}"
        if detail != self.link.detail:
            self.link = replace(self.link, detail=detail)
            self._tell("link")

    def _costs_answered(self, answer: Answer) -> None:
        if answer.ok:
            self.costs_facts = {name: value for name, value in answer.value.items() if name != "lines"}
            self._tell("costs_facts")

    def _tell(self, what: str) -> None:
        for changed in tuple(self._watchers.get(what, ())):
            changed()


def _resolve(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
