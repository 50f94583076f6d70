"""What the end of an attempt means for its task."""

import signal
from random import Random

from engine.executors.base import Ended
from engine.protocol.states import AttemptOutcome
from engine.scheduler import retries
from engine.scheduler.attempt import Finish, Live
from engine.settings import Settings


class Judge:
    """Decides how an attempt ended, and whether it is tried again."""

    def __init__(self, settings: Settings, random: Random) -> None:
        self._settings = settings
        self._random = random

    def ended(self, live: Live, report: Ended) -> Finish:
        """What an executor's report amounts to. A cancellation that was asked for goes before everything else."""
        if live.cancelled_by is not None:
            return cancelled(live.cancelled_by, report.at, report.exit_code, report.signal)
        if report.refused is not None:
            return Finish(AttemptOutcome.FAILED, report.at, f"could not start: {report.refused}")
        if report.lost is not None:
            return Finish(AttemptOutcome.INTERRUPTED, report.at, f"interrupted: {report.lost}")
        if report.exit_code == 0 and not live.timed_out:
            return Finish(AttemptOutcome.COMPLETED, report.at, exit_code=0)
        outcome, error = AttemptOutcome.FAILED, f"exit code {report.exit_code}"
        if live.timed_out or _outlived(live, report):
            outcome, error = AttemptOutcome.TIMED_OUT, f"timed out after {live.timeout_s:g} s"
        elif report.signal is not None:
            error = f"killed by {signal_name(report.signal)}"
        return Finish(outcome, report.at, error, report.exit_code, report.signal, self.retry_after(live))

    def broken(self, live: Live, at: float, error: str, *, final: bool) -> Finish:
        """Preparing failed. `final` says that trying again can't help."""
        if live.cancelled_by is not None:
            return cancelled(live.cancelled_by, at)
        return Finish(AttemptOutcome.FAILED, at, error, retry_after=None if final else self.retry_after(live))

    def retry_after(self, live: Live) -> float | None:
        """Seconds before the next attempt of a task that failed; None when no retry is left."""
        if live.retry_count >= live.max_retries:
            return None
        settings = self._settings
        return retries.delay(live.retry_count + 1, settings.retry_base_s, settings.retry_cap_s, self._random)


def cancelled(by: str, at: float, exit_code: int | None = None, signal_number: int | None = None) -> Finish:
    return Finish(AttemptOutcome.CANCELLED, at, f"cancelled by {by}", exit_code, signal_number)


def signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


def _outlived(live: Live, report: Ended) -> bool:
    """Whether a signal ended it after its time was up: the engine that sent it may have died before it said so."""
    if live.timeout_s is None or live.started_at is None or report.exit_code == 0:
        return False
    return report.at - live.started_at >= live.timeout_s
