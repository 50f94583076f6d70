"""The link to an engine: windows and commands over HTTP, events over a WebSocket, in threads of its own.

Nothing here waits for the screen and the screen never waits for it. What happens is put together by the id it is
about, so that a screen which stalls finds the newest state when it comes back rather than a backlog; a dead engine
costs a request its answer and nothing else. The link comes back by itself, for ever.

    link = Link(find_endpoint)
    link.start()
    link.get("/v1/tasks", {"limit": 100}, lambda answer: ...)   # `answer` comes in the thread that calls `collect`
    link.attach(wake)                                           # `wake()` is called from the link's threads
    link.follow(since=answer.value["seq"], on_news=...)         # from there on: what happened
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Self

from console.client import Client, Endpoint, EngineGone, Refused
from console.listener import Listener
from console.news import Box, LinkState, News
from console.tail import Tail

Wake = Callable[[], None]

WAKE_EVERY_S = 0.05
"""News reach the screen at most this often; over SSH half as often."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a request has no answer. `gone`: no engine; else the engine refused it, with its code and trace id."""

    message: str
    gone: bool = False
    status: int = 0
    code: str = ""
    fields: tuple[str, ...] = ()
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to: `value` (JSON), or `trouble`."""

    value: Any = None
    trouble: Trouble | None = None

    @property
    def ok(self) -> bool:
        return self.trouble is None


Done = Callable[[Answer], None]


@dataclass(slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, object]
    body: object
    done: Done


@dataclass(slots=True)
class _Inbox:
    """What the link's threads leave for the screen's thread, and the bell they ring."""

    wake: Wake | None = None
    calls: deque[Callable[[], None]] = field(default_factory=deque)
    rung: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, call: Callable[[], None]) -> None:
        with self.lock:
            self.calls.append(call)
        self.ring()

    def ring(self) -> None:
        """Wakes the screen, once until it has looked."""
        with self.lock:
            if self.rung or self.wake is None:
                return
            self.rung = True
            wake = self.wake
        wake()

    def take(self) -> list[Callable[[], None]]:
        with self.lock:
            calls, self.rung = list(self.calls), False
            self.calls.clear()
        return calls


class _Courier(threading.Thread):
    """Sends requests one after the other, each with an answer; finds the engine anew when it is gone."""

    def __init__(self, name: str, find: Callable[[], Endpoint], inbox: _Inbox) -> None:
        super().__init__(name=name, daemon=True)
        self._find = find
        self._inbox = inbox
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._client: Client | None = None

    def send(self, request: _Request) -> None:
        self._queue.put(request)

    def stop(self) -> None:
        self._queue.put(None)

    def run(self) -> None:
        while (request := self._queue.get()) is not None:
            answer = self._answer(request)
            self._inbox.put(partial(request.done, answer))
        if self._client is not None:
            self._client.close()

    def _answer(self, request: _Request) -> Answer:
        try:
            if self._client is None:
                self._client = Client(self._find())
            return Answer(_call(self._client, request))
        except EngineGone as gone:
            self._client = None
            return Answer(trouble=Trouble(str(gone), gone=True))
        except Refused as no:
            return Answer(trouble=_refused(no))
        except (OSError, ValueError) as error:
            self._client = None
            return Answer(trouble=Trouble(f"the engine's answer can't be read: {error}"))


def _call(client: Client, request: _Request) -> Any:
    if request.method == "GET":
        return client.get(request.path, **request.query)
    if request.method == "DELETE":
        return client.delete(request.path, **request.query)
    send = {"POST": client.post, "PUT": client.put, "PATCH": client.patch}[request.method]
    return send(request.path, request.body, **request.query)


def _refused(no: Refused) -> Trouble:
    fields = tuple(f"{one.field}: {one.message}" for one in no.fields)
    return Trouble(no.message, status=no.status, code=no.code, fields=fields, trace_id=no.trace_id)


class Link:
    """One engine, kept in reach. All callbacks come in the thread that calls `collect`.

    `find` says where the engine is, anew for each attempt, and raises `EngineGone` when nobody knows.
    """

    def __init__(self, find: Callable[[], Endpoint], *, wake_every_s: float = WAKE_EVERY_S) -> None:
        self._find = find
        self._inbox = _Inbox()
        self._reads = _Courier("link-reads", find, self._inbox)
        self._commands = _Courier("link-commands", find, self._inbox)
        self._box = Box()
        self._wake_every_s = wake_every_s
        self._on_news: Callable[[News], None] | None = None
        self._on_state: Callable[[LinkState], None] | None = None
        self._listener: Listener | None = None
        self.state = LinkState("connecting", time.time())

    def start(self) -> Self:
        """Starts the threads for requests. May be called before there is a screen."""
        self._reads.start()
        self._commands.start()
        return self

    def attach(self, wake: Wake) -> None:
        """From now on `wake` is called, from any thread, when `collect` has something to hand over."""
        self._inbox.wake = wake
        self._inbox.ring()

    def get(self, path: str, query: Mapping[str, object], done: Done) -> None:
        self._reads.send(_Request("GET", path, query, None, done))

    def ask(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, object] | None = None, done: Done
    ) -> None:
        """A command. It is sent once: when the engine is gone meanwhile, the answer says so."""
        self._commands.send(_Request(method, path, query or {}, body, done))

    def tail(self, task_id: str, *, attempt: int, offset: int, heard: Callable[[], None]) -> Tail:
        """Follows what a task prints, from byte `offset` on. `heard` is called when there is something to take."""
        tail = Tail(self._find, task_id, attempt=attempt, offset=offset, ring=partial(self._inbox.put, heard))
        tail.start()
        return tail

    def follow(
        self,
        since: int | None,
        *,
        on_news: Callable[[News], None],
        on_state: Callable[[LinkState], None],
    ) -> None:
        """Follows what happens after event `since` (None: from now), for ever. Called once."""
        self._on_news, self._on_state = on_news, on_state
        self._listener = Listener(
            self._find, self._box, self._inbox.ring, self._turn, since=since, wake_every_s=self._wake_every_s
        )
        self._listener.start()

    def collect(self) -> None:
        """Hands over what came since the last call: answers, the link's state, news. On the screen's thread."""
        calls = self._inbox.take()
        for call in calls:
            call()
        if self._on_news is not None and (news := self._box.take()) is not None:
            self._on_news(news)

    def stop(self) -> None:
        """Ends the threads; what is on its way is given up. Does not wait for a request that hangs."""
        self._inbox.wake = None
        self._reads.stop()
        self._commands.stop()
        if self._listener is not None:
            self._listener.stop()

    def _turn(self, state: LinkState) -> None:
        def tell() -> None:
            self.state = state
            if self._on_state is not None:
                self._on_state(state)

        self._inbox.put(tell)
