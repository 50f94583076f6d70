"""The ledger in a real pseudo-terminal: bytes, hang-ups, stalls, and what the environment says."""

import base64
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from console.terminal import copy, look, prepare
from tests.benchmarks.terminal import Terminal
from tests.console.small_engine import SmallEngine, task

pytestmark = pytest.mark.live
LEDGER = (sys.executable, "-m", "tests.benchmarks.console_ledger")


def shown(index: int) -> bytes:
    return str(task(index)["id"]).encode()


@pytest.fixture
def terminal(small_engine: SmallEngine) -> Iterator[Terminal]:
    with Terminal(LEDGER, environment={"SHOPFLOOR_HOME": str(small_engine.home)}) as opened:
        opened.until(shown(20))
        opened.quiet(0.4)
        yield opened


@pytest.mark.parametrize("rows", [100, 100_000])
def test_writes_little_however_long_the_list_is(small_engine: SmallEngine, rows: int) -> None:
    small_engine.rows = rows
    with Terminal(LEDGER, environment={"SHOPFLOOR_HOME": str(small_engine.home)}) as terminal:
        terminal.until(shown(20))
        terminal.quiet(0.4)
        for key in (b"j", b"j", b"k"):
            assert terminal.press(key)[1] <= 700
        small_engine.turns(7, "waiting")
        assert 0 < terminal.quiet(0.4) <= 400
        assert terminal.press(b" ")[1] <= 15_000
        terminal.quiet(0.3)
        assert terminal.listen(1.5) == 0, "nothing happens, nothing is written"


def test_an_age_is_told_each_second_while_something_runs(small_engine: SmallEngine, terminal: Terminal) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    small_engine.turns(3, "running", started_at=now)
    terminal.quiet(0.4)
    assert 0 < terminal.listen(2.0) <= 3 * 400
    terminal.until(b"3s")
    small_engine.turns(3, "completed", ended_at=now)
    terminal.quiet(0.5)
    assert terminal.listen(1.5) == 0


def test_hanging_up_ends_it(small_engine: SmallEngine) -> None:
    with Terminal(LEDGER, environment={"SHOPFLOOR_HOME": str(small_engine.home)}) as terminal:
        terminal.until(shown(20))
        terminal.hang_up()
        assert exit_code(terminal.pid) == 129
        terminal.pid = 0


def test_a_terminal_that_is_gone_ends_it_where_nobody_is_told_of_hang_ups(small_engine: SmallEngine) -> None:
    deaf = ("sh", "-c", f"trap '' HUP; exec {' '.join(LEDGER)}")
    with Terminal(deaf, environment={"SHOPFLOOR_HOME": str(small_engine.home)}) as terminal:
        terminal.until(shown(20))
        terminal.hang_up()
        assert exit_code(terminal.pid) == 129
        terminal.pid = 0


def exit_code(pid: int, seconds: float = 10.0) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError("it went on without a terminal")


def test_a_terminal_that_is_not_read_loses_neither_link_nor_state(small_engine: SmallEngine) -> None:
    small_engine.stop()
    small_engine.ping_every_s = 0.5
    small_engine.start()
    with Terminal(LEDGER, environment={"SHOPFLOOR_HOME": str(small_engine.home)}) as terminal:
        terminal.until(shown(20))
        until = time.monotonic() + 4
        turn = 0
        while time.monotonic() < until:
            for index in range(40):
                small_engine.turns(index, ("running", "waiting")[turn % 2])
            turn += 1
            time.sleep(0.02)
        small_engine.turns(5, "collecting")
        terminal.until(b"collecting")
        assert small_engine.asked["/ws"] == 1, "the engine never took it for dead"
        terminal.quiet(0.5)
        small_engine.turns(6, "preparing")
        terminal.until(b"preparing")


def test_ssh_slows_the_drawing_and_leaves_the_mouse_alone() -> None:
    environment = {"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22", "LANG": "en_US.UTF-8"}
    terminal = prepare(environment)
    assert environment["TEXTUAL_FPS"] == "10"
    assert environment["TEXTUAL_ANIMATIONS"] == "none"
    assert not terminal.mouse
    assert terminal.wake_every_s == 0.1
    assert not terminal.ascii_only


def test_what_a_person_set_stands() -> None:
    environment = {"SSH_CONNECTION": "x", "TEXTUAL_FPS": "30"}
    prepare(environment)
    assert environment["TEXTUAL_FPS"] == "30"


def test_a_plain_terminal_is_known() -> None:
    plain = look({"LC_ALL": "C", "NO_COLOR": "1"})
    assert (plain.ascii_only, plain.no_color, plain.ssh, plain.mouse) == (True, True, False, True)


def test_copies_through_the_terminal() -> None:
    written: list[str] = []
    assert copy("ünï", written.append, {}) == "copied"
    assert base64.b64decode(written[0].removeprefix("\x1b]52;c;").removesuffix("\a")).decode() == "ünï"
