"""Fixtures that every kind of test shares."""

import os
import signal
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.engine_process import EngineProcess, short_home

MakeEngine = Callable[..., EngineProcess]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything must be there (`CI=true`), a live test that skips itself has failed."""
    report = yield
    if report.skipped and item.get_closest_marker("live") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, where CI=true wants it to run: {report.longrepr}"
    return report


def pytest_configure() -> None:
    """What tests start hears Ctrl-C and a hang-up also where whoever started the tests had both ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # the tests go on; a handler is not handed down, as SIG_IGN is


@pytest.fixture
def make_engine() -> Iterator[MakeEngine]:
    """A maker of engines: `make_engine(CPU="2")` is started on a home of its own and ended after the test."""
    made: list[EngineProcess] = []

    def make(*, start: bool = True, **settings: str) -> EngineProcess:
        engine = EngineProcess(short_home(), settings)
        made.append(engine)
        if start:
            engine.start()
        return engine

    yield make
    for engine in made:
        engine.end()


@pytest.fixture
def engine(make_engine: MakeEngine) -> EngineProcess:
    """An engine of its own for one test, with two cores, 8 GB and two GPU ids to give."""
    return make_engine(CPU="2", MEMORY_GB="8", GPUS="[0,1]")


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[EngineProcess]:
    """One engine for all tests of a module: as `engine`, for tests that leave each other's tasks alone."""
    engine = EngineProcess(short_home(), {"CPU": "4", "MEMORY_GB": "8", "GPUS": "[0,1]"})
    try:
        engine.start()
        yield engine
    finally:
        engine.end()
