"""From a claimed attempt to what an executor starts."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.executors.base import Launch
from engine.materials.artifacts import Collected
from engine.scheduler.attempt import Live
from engine.scheduler.folders import LEFT, WORK
from engine.settings import Home

OUTPUT = "output.log"


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
    """Makes the environment of attempts."""

    def __init__(self, home: Home, gpus_here: bool, environment: Mapping[str, str]) -> None:
        self._gpus_here = gpus_here
        self._base = {name: value for name, value in environment.items() if not name.startswith("SHOPFLOOR_")}
        self._tasks = str(home.tasks)

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
