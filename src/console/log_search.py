"""Search through a whole output, window by window, from where one stands; it can be given up at any time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from console.feed import Get
from console.link import Answer
from console.log_text import shown

WINDOW = 512 << 10


@dataclass(frozen=True, slots=True)
class Found:
    """Where the search stands: the byte at which the line that was found starts, None while it goes on (`searched`
    bytes of `size` so far) and when it has ended without one (`over`). `trouble` says why it broke off."""

    at: int | None = None
    over: bool = False
    searched: int = 0
    size: int = 0
    trouble: str = ""


def matches(needle: str, text: str) -> list[tuple[int, int]]:
    """The places of `needle`, first character and end; capitals count only where the needle has some."""
    if not needle:
        return []
    if needle == needle.lower():
        text = text.lower()
    places, at = [], text.find(needle)
    while at >= 0:
        places.append((at, at + len(needle)))
        at = text.find(needle, at + len(needle))
    return places


class LogSearch:
    """One search for `needle`, from byte `start` down, or up to it. `tell` hears how it goes."""

    def __init__(
        self,
        get: Get,
        path: str,
        attempt: int,
        needle: str,
        *,
        start: int,
        down: bool,
        tell: Callable[[Found], None],
    ) -> None:
        self._get, self._path, self._attempt, self._needle = get, path, attempt, needle
        self._down, self._tell = down, tell
        self._at = start
        self._searched = 0
        self._carried = ""
        self._given_up = False
        self._ask()

    def give_up(self) -> None:
        self._given_up = True

    def _ask(self) -> None:
        offset = self._at if self._down else max(0, self._at - WINDOW)
        limit = WINDOW if self._down else self._at - offset
        if limit == 0:
            self._tell(Found(over=True, searched=self._searched))
            return
        query = {"attempt": self._attempt, "offset": offset, "limit": limit}
        self._get(self._path, query, partial(self._answered, offset))

    def _answered(self, offset: int, answer: Answer) -> None:
        if self._given_up:
            return
        if answer.trouble is not None:
            self._tell(Found(over=True, searched=self._searched, trouble=answer.trouble.message))
            return
        window: Mapping[str, Any] = answer.value
        text, reached, size = str(window["text"]), int(window["next_offset"]), int(window["size"])
        self._searched += reached - offset
        at = self._down_through(offset, text, reached, size) if self._down else self._up_through(offset, text)
        if at is not None:
            self._tell(Found(at=at, searched=self._searched, size=size))
        elif (reached >= size or reached == offset) if self._down else offset == 0:
            self._tell(Found(over=True, searched=self._searched, size=size))
        else:
            self._tell(Found(searched=self._searched, size=size))
            if not self._given_up:
                self._ask()

    def _down_through(self, offset: int, text: str, reached: int, size: int) -> int | None:
        """The first match in the lines that are whole here; the last one, if partial, is read with the next window."""
        whole = text.rfind("\n") + 1
        if reached < size and whole:
            text = text[:whole]
            self._at = offset + _bytes(text)
        else:
            self._at = reached
        return self._first(offset, text)

    def _up_through(self, offset: int, text: str) -> int | None:
        """The last match in the lines that are whole here; the first one, if partial, is read with the next window."""
        start = text.find("\n") + 1 if offset > 0 else 0
        if offset > 0 and start == 0:
            self._at = offset
            return self._last(offset, text)
        at = offset + _bytes(text[:start])
        found = self._last(at, text[start:])
        self._at = at if at < self._at else offset
        return found

    def _may_hold(self, text: str) -> bool:
        """Spares most windows the way line by line; colours may stand between the letters that are looked for."""
        return "\x1b" in text or self._needle.lower() in text.lower()

    def _first(self, offset: int, text: str) -> int | None:
        if not self._may_hold(text):
            return None
        for line in text.split("\n"):
            if matches(self._needle, shown(line)):
                return offset
            offset += _bytes(line) + 1
        return None

    def _last(self, offset: int, text: str) -> int | None:
        if not self._may_hold(text):
            return None
        found = None
        for line in text.split("\n"):
            if matches(self._needle, shown(line)):
                found = offset
            offset += _bytes(line) + 1
        return found


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
