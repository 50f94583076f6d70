"""One timer, set only while something is to come."""

from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Handle]
"""`loop.call_later`, or a test's own."""


class Alarm:
    """Rings once at the earliest time that it was set to; who is woken sets it again. Times are the clock's."""

    def __init__(self, clock: Callable[[], float], call_later: CallLater, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._call_later = call_later
        self._ring = ring
        self._due: float | None = None
        self._handle: Handle | None = None

    def set(self, due: float | None) -> None:
        """Ring at `due`, or never. A time that was set earlier and is sooner stays: waking once too often is cheap."""
        if due is None:
            self.stop()
            return
        if self._due is not None and self._due <= due:
            return
        self.stop()
        self._due = due
        self._handle = self._call_later(max(0.0, due - self._clock()), self._fire)

    def stop(self) -> None:
        self._due = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._due = None
        self._handle = None
        self._ring()
