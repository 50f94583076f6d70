"""Blocking work in threads that ends promptly when whoever waits for it is cancelled."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The work was told to stop and has cleaned up after itself."""


class Stop:
    """Set when the work is no longer wanted. Work in a thread calls `check` between two bounded steps."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._calls: list[Callable[[], object]] = []

    def check(self) -> None:
        """Raise `Stopped` when the work is no longer wanted."""
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Pause, but no longer than the work is wanted."""
        if self._event.wait(seconds):
            raise Stopped

    def on_set(self, call: Callable[[], object]) -> None:
        """Have `call` run once when the work is no longer wanted; at once when that is so already."""
        with self._lock:
            if not self._event.is_set():
                self._calls.append(call)
                return
        call()

    def set(self) -> None:
        with self._lock:
            self._event.set()
            calls, self._calls = self._calls, []
        for call in calls:
            call()


class Background:
    """A few threads of our own, so that a slow disk or network never starves the engine's other threads."""

    def __init__(self, threads: int = 8) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="materials")
        self._running: set[Stop] = set()

    async def run(self, work: Callable[[Stop], T]) -> T:
        """Run `work` in a thread. When the caller is cancelled, the work is stopped and waited for first."""
        stop = Stop()
        running = self._pool.submit(work, stop)
        future = asyncio.wrap_future(running)
        self._running.add(stop)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            if not running.cancel():
                await asyncio.wait([future])
            raise
        finally:
            self._running.discard(stop)
            if future.done() and not future.cancelled():
                future.exception()

    def close(self) -> None:
        """Stop what still runs, wait for it, and let no more begin."""
        for stop in list(self._running):
            stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
