"""What stands between a task and its first instruction: its code, its data, its command line."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.materials.artifacts import Collected, collect
from engine.materials.background import Background, Stop
from engine.materials.datasets import Datasets
from engine.materials.entry import entry_command, split_args
from engine.materials.errors import InvalidInput, MaterialError, reason
from engine.materials.mounts import Mounts, check_specs, environment_name, mount_inside, mount_target
from engine.materials.snapshots import Snapshots
from engine.materials.sources import Terms, parse
from engine.protocol.tasks import DatasetSpec, SubmitTask
from engine.settings import Home, Settings

log = logging.getLogger(__name__)

_ENTRIES = 256

T = TypeVar("T")


NewestSnapshot = Callable[[str], Awaitable[str | None]]
"""The id of the newest snapshot of the experiment with that name."""


class Task(Protocol):
    """What the materials read of a task: the fields of its row, as `Resolved` had them."""

    @property
    def id(self) -> str: ...
    @property
    def command(self) -> Sequence[str] | None: ...
    @property
    def cwd(self) -> str | None: ...
    @property
    def snapshot_id(self) -> str | None: ...
    @property
    def dataset_specs(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a request comes to at the moment it is submitted; the record keeps these and nothing later changes them.

    `command` is whole: `args` are in it. `dataset_specs` also describe what was asked for by name alone.
    """

    command: Sequence[str]
    snapshot_id: str | None
    dataset_specs: Sequence[DatasetSpec]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An attempt that can start. `environment` comes on top of the task's own."""

    cwd: Path
    command: Sequence[str]
    environment: Mapping[str, str]


class Materials:
    """Snapshots, datasets and artifacts of one home.

    At submit `resolve`, before the start `prepare`, after the end `collect` and always `release`.
    """

    def __init__(self, home: Home, settings: Settings, newest_snapshot: NewestSnapshot) -> None:
        self._home = home
        self._newest_snapshot = newest_snapshot
        self._entries: dict[str, list[str]] = {}
        self._background = Background()
        self._downloads = Background()
        self.snapshots = Snapshots(home.snapshots, home=home.root)
        terms = Terms(
            max_bytes=int(settings.dataset_max_gb * (1 << 30)), keep_free_bytes=settings.disk_reserve_mb << 20
        )
        self._datasets = Datasets(home.datasets, terms, self._downloads)
        self._mounts = Mounts(home.datasets / ".mounts")

    async def open(self, live: Collection[tuple[str, int]]) -> None:
        """At boot: clean up after an interrupted engine. `live` are the attempts that the store holds as live."""
        users = {_user(task_id, attempt) for task_id, attempt in live}

        def work(_: Stop) -> None:
            self.snapshots.clean()
            self._datasets.clean()
            self._mounts.recover(users)

        await self._background.run(work)

    def close(self) -> None:
        """Stop what still runs in the background, and wait until it has."""
        self._downloads.close()
        self._background.close()

    async def run(self, work: Callable[[Stop], T]) -> T:
        """Do blocking work in one of the materials' threads."""
        return await self._background.run(work)

    @staticmethod
    def needs_resolution(request: SubmitTask) -> bool:
        """Whether `resolve` has anything to do: a plain command has nothing, and costs nothing."""
        return bool(
            request.command is None
            or request.args
            or request.snapshot_id is not None
            or request.datasets
            or request.dataset_specs
        )

    async def resolve(self, request: SubmitTask) -> Resolved:
        """Check what the task will run on which data, and pin it. Raises `InvalidInput` naming the field."""
        args = split_args(request.args)
        check_specs(request.dataset_specs)
        for number, spec in enumerate(request.dataset_specs):
            parse(spec.source, f"dataset_specs.{number}.source")
        snapshot_id = request.snapshot_id
        if snapshot_id is None and request.command is None:
            snapshot_id = await self._newest_snapshot(request.job_name)
            if snapshot_id is None:
                raise InvalidInput(
                    "command",
                    "nothing to run: give command, or snapshot_id, or store a snapshot of the experiment called like "
                    f"job_name ({request.job_name})",
                )
        if snapshot_id is None and not request.datasets:
            return Resolved([*(request.command or ()), *args], None, request.dataset_specs)
        return await self._background.run(lambda _: self._resolve(request, snapshot_id, args))

    def _resolve(self, request: SubmitTask, snapshot_id: str | None, args: Sequence[str]) -> Resolved:
        specs = [*request.dataset_specs, *self._named(request)]
        check_specs(specs)
        command = list(request.command or ())
        if snapshot_id is not None:
            command = self._in_snapshot(request, snapshot_id)
        return Resolved([*command, *args], snapshot_id, specs)

    def _in_snapshot(self, request: SubmitTask, snapshot_id: str) -> list[str]:
        """The command without its `args`, to be run in a copy of the snapshot."""
        if request.cwd is not None and request.cwd.startswith("/"):
            raise InvalidInput(
                "cwd", "with a snapshot the task runs in a copy of it: give a folder inside it, or none", request.cwd
            )
        if not self.snapshots.has(snapshot_id):
            raise InvalidInput("snapshot_id", "no snapshot of that id is stored here", snapshot_id)
        return list(self._entry(snapshot_id) if request.command is None else request.command)

    def _entry(self, snapshot_id: str) -> list[str]:
        """The entry command of a snapshot: looked up once, since many tasks of one snapshot come together."""
        found = self._entries.get(snapshot_id)
        if found is None:
            found = entry_command(self.snapshots.tree(snapshot_id), self.snapshots.manifest(snapshot_id))
            if len(self._entries) >= _ENTRIES:
                self._entries.clear()
            self._entries[snapshot_id] = found
        return found

    def _named(self, request: SubmitTask) -> list[DatasetSpec]:
        """The datasets asked for by name alone, each pinned to the content that it has now."""
        given = {spec.name for spec in request.dataset_specs}
        found = []
        for number, name in enumerate(request.datasets):
            if name in given:
                continue
            known = self._datasets.named(name)
            if known is None:
                raise InvalidInput(
                    f"datasets.{number}",
                    "no dataset of that name was fetched here before; describe it in dataset_specs",
                    name,
                )
            source, sha256 = known
            found.append(DatasetSpec(name=name, source=source, sha256=sha256))
        return found

    @staticmethod
    def needs_preparation(task: Task) -> bool:
        """Whether `prepare` has anything to do. What has no need of it starts at once."""
        return task.snapshot_id is not None or bool(task.dataset_specs)

    async def prepare(self, task: Task, attempt: int) -> Prepared:
        """Lay out the working folder, fetch and mount the datasets.

        May be called again for an attempt that has not started. Cancelling it ends it promptly and leaves nothing
        half made. Raises `MaterialError` with the sentence that the task fails with.
        """
        work = self._home.attempt(task.id, attempt) / "work"
        specs = [DatasetSpec.model_validate(spec) for spec in task.dataset_specs]
        try:
            cwd = await self._background.run(lambda stop: self._working_folder(task, work, stop))
            contents = [await self._datasets.ensure(spec.name, spec.source, spec.sha256) for spec in specs]
            user = _user(task.id, attempt)
            environment = await self._background.run(lambda _: self._mount(user, cwd, work, specs, contents))
        except BaseException:
            await self.release(task.id, attempt)
            raise
        return Prepared(cwd, list(task.command or ()), environment)

    def _working_folder(self, task: Task, work: Path, stop: Stop) -> Path:
        if task.snapshot_id is None and task.cwd is not None and task.cwd.startswith("/"):
            return Path(task.cwd)
        try:
            work.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if task.snapshot_id is not None:
                self.snapshots.restore(task.snapshot_id, work, stop)
            else:
                work.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise MaterialError(f"the working folder could not be made: {reason(error)}") from error
        if task.cwd is None:
            return work
        cwd = (work / task.cwd).resolve()
        if not cwd.is_relative_to(work.resolve()) or not cwd.is_dir():
            raise MaterialError(f"cwd {task.cwd!r} is no folder in the task's working folder")
        return cwd

    def _mount(
        self, user: str, cwd: Path, work: Path, specs: Sequence[DatasetSpec], contents: Sequence[Path]
    ) -> dict[str, str]:
        """Link each dataset to its place; the variables that tell the task where."""
        own = cwd == work or cwd.is_relative_to(work.resolve())
        environment = {}
        for spec, content in zip(specs, contents, strict=True):
            target = mount_target(spec)
            if own and not target.startswith("/"):
                here = mount_inside(cwd, target, content)
            else:
                here = cwd / target
                self._mounts.take(user, str(here), content)
            environment[environment_name(spec.name)] = str(here)
        return environment

    async def collect(self, task_id: str, attempt: int) -> Collected:
        """What the attempt left in its `out` folder. The files stay there; may be called again."""
        out = self._home.attempt(task_id, attempt) / "out"
        return await self._background.run(lambda stop: collect(out, stop))

    async def release(self, task_id: str, attempt: int) -> None:
        """The attempt is over: what was mounted for it outside of its folder goes, unless others use it."""
        user = _user(task_id, attempt)
        if not self._mounts.in_use_by(user):
            return
        try:
            await self._background.run(lambda _: self._mounts.release(user))
        except MaterialError as error:
            log.warning("the mounts of %s could not be given up: %s", user, error)


def _user(task_id: str, attempt: int) -> str:
    return f"{task_id}#{attempt}"
