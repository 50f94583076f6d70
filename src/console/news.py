"""What happened at the engine since the screen last looked, put together by what it is about."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["connecting", "live", "lost"]

MOST_TASKS = 5_000
"""Tasks whose changes are kept one by one; past that the screen reads its windows again."""

MOST_EVENTS = 1_000
"""Events kept for the screen's tail; the engine has them all."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """How the link stands: `since` is an epoch time, `detail` says why in a sentence, `version` is the engine's."""

    phase: Phase
    since: float
    detail: str = ""
    version: str = ""

    @property
    def live(self) -> bool:
        return self.phase == "live"


@dataclass(slots=True)
class Changes:
    """The newest values of a task's fields that changed; `seq` is the last event that is in."""

    seq: int
    fields: dict[str, Any]


@dataclass(slots=True)
class News:
    """`tasks`: what changed, by id. `kinds`: every kind of event there was. `tail`: the newest events as they came,
    `skipped` more stood before them. `again`: too much happened to be told one by one; read the windows again."""

    seq: int = 0
    tasks: dict[str, Changes] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    tail: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    skipped: int = 0
    again: bool = False

    def add(self, message: Mapping[str, Any]) -> None:
        """Takes in one message of `/ws`. Its memory is bounded however many there are."""
        seq, kind, subject = int(message["seq"]), str(message["kind"]), str(message["subject"])
        self.seq = seq
        self.kinds.add(kind)
        if len(self.tail) == MOST_EVENTS:
            self.skipped += 1
        self.tail.append(message)
        if not kind.startswith("task."):
            return
        known = self.tasks.get(subject)
        if known is not None:
            known.seq = seq
            known.fields.update(message["data"])
        elif len(self.tasks) < MOST_TASKS:
            self.tasks[subject] = Changes(seq, dict(message["data"]))
        else:
            self.again = True


class Box:
    """Where the link's thread puts the news and the screen's thread takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news: News | None = None

    def add(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            if self._news is None:
                self._news = News()
            self._news.add(message)

    def read_again(self) -> None:
        """Says that what is on the screen may be behind."""
        with self._lock:
            if self._news is None:
                self._news = News()
            self._news.again = True

    @property
    def waiting(self) -> bool:
        return self._news is not None

    def take(self) -> News | None:
        with self._lock:
            news, self._news = self._news, None
        return news
