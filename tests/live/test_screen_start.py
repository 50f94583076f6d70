"""`shopfloor` and `shopfloor demo` in a real terminal: what is started, and what is left when it is closed."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.terminal import Terminal
from tests.conftest import MakeEngine
from tests.engine_process import end_processes_of, processes_of, short_home

pytestmark = pytest.mark.live
SHOPFLOOR = [sys.executable, "-m", "console.cli"]


def test_the_console_starts_an_engine_and_leaves_it_running(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False, CPU="2")
    with Terminal(SHOPFLOOR, environment=engine.environment) as terminal:
        terminal.until(b"queue")
        terminal.until(b"live")
        task = engine.shopfloor("submit", "--name", "seen-live", "--", "true")
        assert task.returncode == 0, task.stderr
        terminal.until(b"seen-live")
        os.write(terminal.fd, b"q")
        assert terminal.wait() == 0
    status = engine.shopfloor("engine", "status", "--json")
    assert status.returncode == 0, "leaving the console leaves the engine running"
    assert engine.shopfloor("engine", "stop").returncode == 0


def test_a_remote_engine_that_is_gone_is_not_started_here(tmp_path: Path) -> None:
    environment = {"SHOPFLOOR_URL": "http://127.0.0.1:9", "SHOPFLOOR_KEY": "k", "SHOPFLOOR_HOME": str(tmp_path)}
    with Terminal(SHOPFLOOR, environment=environment) as terminal:
        terminal.until(b"no engine answers at http://127.0.0.1:9")
        assert terminal.wait() == 3
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its path is short enough for a home below it, whoever runs the tests."""
    made = short_home()
    yield made
    end_processes_of(made)
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("leave", ["q", "hang-up"])
def test_demo_on_a_screen_leaves_nothing(leave: str, folder: Path) -> None:
    environment = {"TMPDIR": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    with Terminal([*SHOPFLOOR, "demo"], environment=environment) as terminal:
        terminal.until(b"train-large")
        assert processes_of(folder), "an engine and tasks work for the demo"
        if leave == "q":
            os.write(terminal.fd, b"q")
            assert terminal.wait(30) == 0
        else:
            terminal.hang_up()
            deadline = time.monotonic() + 30
            while terminal.alive():
                assert time.monotonic() < deadline, "it outlives its terminal"
                time.sleep(0.05)
            terminal.pid = 0
    left = [process.cmdline() for process in processes_of(folder)]
    assert all("keeper" in " ".join(words) for words in left), (
        "only the keeper is left, which goes when it has been idle"
    )
    assert not list(folder.glob("shopfloor-demo-*")), "the home is gone"
