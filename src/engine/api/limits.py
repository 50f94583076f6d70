"""How many requests a key may send: two fixed windows, a minute and an hour, each begun by its first request."""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 10_000


@dataclass(slots=True)
class _Window:
    ends: float
    left: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """`limit` and `remaining` of the window that is nearest to its end of patience; `reset_s` is whole seconds until
    that window starts anew. `allowed` is false when this request is one too many."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int


@dataclass(slots=True)
class RateLimiter:
    """Counts by key. `clock` is seconds that only go forward."""

    per_minute: int
    per_hour: int
    clock: Callable[[], float] = time.monotonic
    _windows: dict[Hashable, tuple[_Window, _Window]] = field(default_factory=dict)

    def take(self, key: Hashable) -> Allowance:
        """Count one request of `key`. A refused request is not counted, so a client that waits gets in."""
        now = self.clock()
        windows = self._windows.get(key)
        if windows is None:
            windows = self._open(key, now)
        minute, hour = windows
        if now >= minute.ends:
            minute.ends, minute.left = now + 60, self.per_minute
        if now >= hour.ends:
            hour.ends, hour.left = now + 3600, self.per_hour
        allowed = minute.left > 0 and hour.left > 0
        if allowed:
            minute.left -= 1
            hour.left -= 1
        tightest, limit = (hour, self.per_hour) if hour.left < minute.left else (minute, self.per_minute)
        if not allowed and hour.left <= 0:
            tightest, limit = hour, self.per_hour
        return Allowance(allowed, limit, tightest.left, max(1, math.ceil(tightest.ends - now)))

    def _open(self, key: Hashable, now: float) -> tuple[_Window, _Window]:
        if len(self._windows) >= _KEPT:
            self._windows = {name: pair for name, pair in self._windows.items() if pair[1].ends > now}
        if len(self._windows) >= _KEPT:  # a flood of peers: those seen first start anew
            for name in list(self._windows)[: _KEPT // 10]:
                del self._windows[name]
        windows = _Window(now + 60, self.per_minute), _Window(now + 3600, self.per_hour)
        self._windows[key] = windows
        return windows
