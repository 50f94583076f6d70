"""A short run of `engine_kills`; the script itself does it 50 times under 1,000 tasks."""

import signal

import pytest

from tests.chaos.engine_kills import Report, run

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize(
    ("number", "tasks", "times"), [(signal.SIGKILL, 120, 4), (signal.SIGTERM, 60, 2)], ids=["kill", "term"]
)
def test_nothing_is_lost_twice_or_cut_short(number: signal.Signals, tasks: int, times: int) -> None:
    report: Report = run(tasks, times, number, seed=7)
    assert report.is_clean(), f"{report}\n{report.not_completed}"
    assert report.ends >= times
    assert report.ends_under_load > 0, "the engine was never ended while tasks ran: the test shows nothing"
