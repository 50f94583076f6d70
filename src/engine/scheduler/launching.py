"""From a claimed attempt to what an executor starts."""

import os
import stat
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.executors.base import AttemptKey, Launch
from engine.materials.artifacts import Collected
from engine.scheduler.attempt import Live
from engine.settings import Home

OUTPUT = "output.log"
LEFT = "out"
WORK = "work"

SPARE_FOLDERS = 64
_NEW = stat.S_IFDIR | 0o700


class Prepared(Protocol):
    """What preparing found out: where the attempt runs, what, and what its environment has beside the usual."""

    @property
    def cwd(self) -> Path: ...
    @property
    def command(self) -> Sequence[str]: ...
    @property
    def environment(self) -> Mapping[str, str]: ...


class Materials(Protocol):
    """What a task needs before it runs, and what it leaves."""

    async def open(self, live: Collection[tuple[str, int]]) -> None:
        """At boot: clean up after the engine before. `live` are the attempts that the store holds as live."""

    def needs_preparation(self, task: Live) -> bool:
        """Whether `prepare` has anything to do."""

    async def prepare(self, task: Live, attempt: int) -> Prepared:
        """Get it ready; may be run again after it was cut short. Raises what a person should read."""

    async def collect(self, task_id: str, attempt: int) -> Collected:
        """What lies in the attempt's `out/`; may be run again after it was cut short."""

    async def release(self, task_id: str, attempt: int) -> None:
        """The attempt is over: what was laid out for it elsewhere may go."""


class Launcher:
    """Makes the folders and the environment of attempts."""

    def __init__(self, home: Home, gpus_here: bool, environment: Mapping[str, str]) -> None:
        self._gpus_here = gpus_here
        self._base = {name: value for name, value in environment.items() if not name.startswith("SHOPFLOOR_")}
        self._tasks = str(home.tasks)
        self._spare: deque[str] = deque(maxlen=SPARE_FOLDERS)

    def make_folders(self, key: AttemptKey) -> None:
        """`<task>/<attempt>` with `out/` and `work/`; what is there stays."""
        task = f"{self._tasks}/{key.task_id}"
        attempt = f"{task}/{key.attempt}"
        _make(task)
        _make(attempt)
        for folder in (f"{attempt}/{LEFT}", f"{attempt}/{WORK}"):
            if not self._reuse(folder):
                _make(folder)

    def recycle(self, key: AttemptKey) -> None:
        """The attempt is over: folders that it left empty may be used again. Many tasks leave nothing.

        Moving one is cheaper than making one, at times by far, and what has ended takes less room on the disk.
        """
        self._spare += (f"{self._tasks}/{key.task_id}/{key.attempt}/{name}" for name in (LEFT, WORK))

    def _reuse(self, folder: str) -> bool:
        while self._spare:
            spare = self._spare.popleft()
            if _as_new(spare):
                try:
                    os.rename(spare, folder)  # noqa: PTH104 - twice for each attempt: this one is cheap
                except OSError:
                    return False
                return True
        return False

    def launch(self, live: Live, prepared: Prepared | None = None) -> Launch:
        """What the executor needs to know. Without `prepared` the task's own command runs."""
        folder = f"{self._tasks}/{live.id}/{live.attempt}"
        if prepared is None:
            command: Sequence[str] = live.command or ()
            cwd = Path(live.cwd or f"{folder}/{WORK}")
            more: Mapping[str, str] = {}
        else:
            command, cwd, more = prepared.command, prepared.cwd, prepared.environment
        return Launch(
            live.key,
            command,
            self._environment(live, f"{folder}/{LEFT}", more),
            cwd,
            Path(f"{folder}/{OUTPUT}"),
            live.image,
            live.gpu_ids,
        )

    def left_something(self, key: AttemptKey) -> bool:
        """Whether the attempt left anything in its `out/`."""
        try:
            with os.scandir(f"{self._tasks}/{key.task_id}/{key.attempt}/{LEFT}") as entries:
                return next(entries, None) is not None
        except FileNotFoundError:
            return False

    def _environment(self, live: Live, left: str, more: Mapping[str, str]) -> dict[str, str]:
        environment = {**self._base, **live.env, **more}
        environment["SHOPFLOOR_TASK_ID"] = live.id
        environment["SHOPFLOOR_ATTEMPT"] = f"{live.id}#{live.attempt}"
        environment["SHOPFLOOR_OUTPUT"] = left
        environment["SHOPFLOOR_JOB_NAME"] = live.job_name
        if live.gpu_ids:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, live.gpu_ids))
            # NVML counts in this order; CUDA's own default is another.
            environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        elif self._gpus_here:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        return environment


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102 - several for each attempt: this one is cheap
    except FileExistsError:
        return


def _as_new(folder: str) -> bool:
    """Whether it is a folder (no link to one) as we make it, with nothing in it."""
    try:
        if os.lstat(folder).st_mode != _NEW:
            return False
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False
