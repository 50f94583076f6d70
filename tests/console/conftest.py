"""Fixtures for tests of the console: a small engine on a real socket."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from tests.console.small_engine import SmallEngine
from tests.engine_process import short_home

Until = Callable[[Callable[[], object]], "asyncio.Future[None]"]


@pytest.fixture
def small_engine() -> Iterator[SmallEngine]:
    """An engine of its own for one test, with a hundred tasks; started."""
    engine = SmallEngine(short_home())
    engine.start()
    yield engine
    engine.leave()
    shutil.rmtree(engine.home, ignore_errors=True)


async def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Lets the loop run until something holds; fails after a while if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to that")
        await asyncio.sleep(0.002)
