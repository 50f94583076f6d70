"""The seam between the scheduler and whatever runs an attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol


class AttemptKey(NamedTuple):
    """What every report is fenced by."""

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Launch:
    """An attempt that is ready to start. `environment` is whole: nothing is inherited beside it.

    `output` is the file that stdout and stderr are appended to; its folder exists.
    """

    key: AttemptKey
    command: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    output: Path
    image: str | None = None
    gpu_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """The attempt runs. `at` is seconds since the epoch, read where it was started."""

    key: AttemptKey
    pid: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over and nothing of it is left running.

    Exactly one of the last four is set. `lost` says why the end can't be known (the
    machine lost power, the keeper was killed); `refused` says why it could not start (no such command).
    """

    key: AttemptKey
    at: float
    exit_code: int | None = None
    signal: int | None = None
    lost: str | None = None
    refused: str | None = None
    no_room: bool = False
    """It is `lost` because the disk had no room for it to start."""


Report = Started | Ended
OnReports = Callable[[Sequence[Report]], None]
"""Called on the engine's loop with all that an executor learned at once."""


class Executor(Protocol):
    """Runs attempts. An executor never decides: it starts, stops, watches and tells."""

    name: str

    async def open(self, on_reports: OnReports) -> None:
        """Get ready; reports flow from now on. Attempts that run already are not reported before `adopt`."""

    async def adopt(self, expected: Sequence[AttemptKey]) -> set[AttemptKey]:
        """After a restart: take over what runs or ended meanwhile.

        `expected` are the attempts that the store holds as live on this executor. Those known here come back
        and their reports (`Started` and, once over, `Ended`) follow. What is not returned was never started.
        What runs here but is not expected is ended.
        """

    def launch(self, launches: Sequence[Launch]) -> None:
        """Start attempts. Idempotent by key: a key that was launched before is not started again."""

    def cancel(self, key: AttemptKey, grace_s: float) -> None:
        """TERM to the whole tree, grace, KILL; an `Ended` follows. Cancelling what is unknown reports `lost`."""

    def forget(self, keys: Sequence[AttemptKey]) -> None:
        """The end of these attempts is committed; their records may go."""

    async def close(self) -> None:
        """Stop watching. What runs goes on running."""
