"""A task's materials from submit to the end."""

# ruff: noqa: ASYNC240 - looking at a small file blocks no one here

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.materials.background import Background, Stop, Stopped
from engine.materials.errors import InvalidInput, MaterialError
from engine.materials.prepare import Materials, Prepared, Resolved
from engine.protocol.tasks import DatasetSpec, SubmitTask
from engine.settings import Home, Settings


@dataclass
class Task:
    id: str
    command: Sequence[str] | None
    cwd: str | None = None
    snapshot_id: str | None = None
    dataset_specs: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, resolved: Resolved, task_id: str = "t1", cwd: str | None = None) -> "Task":
        specs = [spec.model_dump(mode="json") for spec in resolved.dataset_specs]
        return cls(task_id, resolved.command, cwd, resolved.snapshot_id, specs)


@pytest.fixture
def newest() -> dict[str, str]:
    """The newest snapshot of each experiment."""
    return {}


@pytest.fixture
async def materials(tmp_path: Path, newest: dict[str, str]) -> AsyncIterator[Materials]:
    materials = make(tmp_path, newest)
    await materials.open([])
    yield materials
    materials.close()


def make(tmp_path: Path, newest: dict[str, str]) -> Materials:
    async def look(name: str) -> str | None:
        return newest.get(name)

    home = Home(tmp_path / "home")
    home.create()
    return Materials(home, Settings(home=home.root, disk_reserve_mb=0), look)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    (project / "train.py").write_text("import sys; print('trained', *sys.argv[1:]); open('weights', 'w').close()\n")
    return project


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("1,2\n")
    return tmp_path / "rows.csv"


async def store(materials: Materials, folder: Path) -> str:
    return (await materials.run(lambda stop: materials.snapshots.store(folder, stop))).id


def run(prepared: Prepared) -> str:
    environment = {"PATH": os.environ["PATH"], **prepared.environment}
    done = subprocess.run(prepared.command, cwd=prepared.cwd, env=environment, capture_output=True, check=True)
    return done.stdout.decode()


def request(**fields: Any) -> SubmitTask:
    return SubmitTask(job_name="exp", **fields)


async def test_a_contract_task_runs_the_newest_snapshot_of_its_name_with_its_args(
    materials: Materials, newest: dict[str, str], project: Path
) -> None:
    newest["exp"] = first = await store(materials, project)
    resolved = await materials.resolve(request(args="--lr 1 'two words' $HOME"))
    (project / "train.py").write_text("print('newer')")
    newest["exp"] = await store(materials, project)
    assert resolved.snapshot_id == first, "what is stored later does not change a queued task"
    prepared = await materials.prepare(Task.of(resolved), 1)
    assert run(prepared) == "trained --lr 1 two words $HOME\n"
    again = await materials.prepare(Task.of(resolved, "t2"), 1)
    assert not (again.cwd / "weights").exists(), "each attempt has a copy of its own"


async def test_a_command_runs_in_the_snapshot(materials: Materials, project: Path) -> None:
    snapshot_id = await store(materials, project)
    resolved = await materials.resolve(
        request(command=["python3", "../train.py"], args="x", snapshot_id=snapshot_id, cwd="sub")
    )
    assert run(await materials.prepare(Task.of(resolved, cwd="sub"), 1)) == "trained x\n"


async def test_a_plain_command_needs_nothing(materials: Materials) -> None:
    plain = request(command=["true"])
    assert not materials.needs_resolution(plain)
    assert not materials.needs_preparation(Task.of(await materials.resolve(plain)))


@pytest.mark.parametrize(
    ("fields", "field_name"),
    [
        ({}, "command"),
        ({"snapshot_id": "0" * 64}, "snapshot_id"),
        ({"command": ["x"], "args": "'"}, "args"),
        ({"command": ["x"], "datasets": ["known", "unknown"]}, "datasets.0"),
        ({"command": ["x"], "dataset_specs": [{"name": "a", "source": "a"}]}, "dataset_specs.0.source"),
        (
            {"command": ["x"], "dataset_specs": [{"name": "a", "source": "/a", "mount_path": "../a"}]},
            "dataset_specs.0.mount_path",
        ),
    ],
)
async def test_what_can_not_be_used_is_named_at_submit(
    materials: Materials, fields: dict[str, Any], field_name: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await materials.resolve(request(**fields))
    assert caught.value.field == field_name


async def test_a_missing_entry_and_an_absolute_cwd_are_named_at_submit(materials: Materials, project: Path) -> None:
    (project / "train.py").rename(project / "other.py")
    snapshot_id = await store(materials, project)
    with pytest.raises(InvalidInput, match=r"no train\.py"):
        await materials.resolve(request(snapshot_id=snapshot_id))
    with pytest.raises(InvalidInput) as caught:
        await materials.resolve(request(command=["x"], snapshot_id=snapshot_id, cwd="/srv"))
    assert caught.value.field == "cwd"


async def test_datasets_stand_where_the_task_is_told(materials: Materials, rows: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(rows.read_bytes()).hexdigest()
    specs = [
        DatasetSpec(name="plain", source=str(rows)),
        DatasetSpec(name="checked", source=f"file://{rows}", sha256=digest, mount_path="in/rows.csv"),
        DatasetSpec(name="far", source=str(rows), mount_path=str(tmp_path / "mnt" / "rows.csv")),
    ]
    command = ["sh", "-c", "cat datasets/plain in/rows.csv $SHOPFLOOR_DATASET_FAR"]
    resolved = await materials.resolve(request(command=command, dataset_specs=specs))
    task = Task.of(resolved)
    for _ in range(2):
        prepared = await materials.prepare(task, 1)
        assert run(prepared) == "1,2\n" * 3
    await materials.release("t1", 1)
    assert not (tmp_path / "mnt").exists()


async def test_in_a_folder_of_the_person_the_links_go_again(materials: Materials, rows: Path, project: Path) -> None:
    specs = [DatasetSpec(name="rows", source=str(rows))]
    resolved = await materials.resolve(request(command=["cat", "datasets/rows"], dataset_specs=specs))
    prepared = await materials.prepare(Task.of(resolved, cwd=str(project)), 1)
    assert prepared.cwd == project
    assert run(prepared) == "1,2\n"
    await materials.release("t1", 1)
    assert not (project / "datasets").exists()


async def test_a_name_is_pinned_to_what_it_stood_for(materials: Materials, rows: Path) -> None:
    first = await materials.resolve(request(command=["x"], dataset_specs=[DatasetSpec(name="rows", source=str(rows))]))
    await materials.prepare(Task.of(first), 1)
    named = await materials.resolve(request(command=["cat", "datasets/rows"], datasets=["rows"]))
    rows.write_text("changed\n")
    await materials.prepare(Task.of(first, "t2"), 1)
    assert run(await materials.prepare(Task.of(named, "t3"), 1)) == "1,2\n"


async def test_other_content_fails_with_both_digests_and_leaves_no_link(
    materials: Materials, rows: Path, tmp_path: Path
) -> None:
    specs = [
        DatasetSpec(name="far", source=str(rows), mount_path=str(tmp_path / "far")),
        DatasetSpec(name="rows", source=str(rows), sha256="0" * 64),
    ]
    task = Task.of(await materials.resolve(request(command=["x"], dataset_specs=specs)))
    with pytest.raises(MaterialError, match=f"dataset 'rows': its SHA-256 is [0-9a-f]{{64}}, expected {'0' * 64}"):
        await materials.prepare(task, 1)
    assert not os.path.lexists(tmp_path / "far")


async def test_a_mount_that_fails_takes_back_the_ones_before_it(
    materials: Materials, rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    specs = [
        DatasetSpec(name="a", source=str(rows), mount_path=str(tmp_path / "free")),
        DatasetSpec(name="b", source=str(rows), mount_path=str(tmp_path / "taken")),
    ]
    task = Task.of(await materials.resolve(request(command=["x"], dataset_specs=specs)))
    with pytest.raises(MaterialError, match="something else is there already"):
        await materials.prepare(task, 1)
    assert not os.path.lexists(tmp_path / "free")


async def test_the_next_engine_takes_over_the_links_of_what_still_runs(
    materials: Materials, newest: dict[str, str], rows: Path, tmp_path: Path
) -> None:
    for task_id in ("live", "dead"):
        spec = DatasetSpec(name="rows", source=str(rows), mount_path=str(tmp_path / task_id))
        resolved = await materials.resolve(request(command=["x"], dataset_specs=[spec]))
        await materials.prepare(Task.of(resolved, task_id), 1)
    following = make(tmp_path, newest)
    await following.open([("live", 1)])
    assert (tmp_path / "live").exists()
    assert not os.path.lexists(tmp_path / "dead")
    await following.release("live", 1)
    assert not os.path.lexists(tmp_path / "live")
    following.close()


async def test_a_cwd_that_is_not_in_the_snapshot_is_a_sentence(materials: Materials, project: Path) -> None:
    snapshot_id = await store(materials, project)
    for cwd in ("gone", "../..", "train.py"):
        with pytest.raises(MaterialError, match="no folder in the task's working folder"):
            await materials.prepare(Task("t1", ["x"], cwd, snapshot_id), 1)


async def test_collecting_keeps_files_and_tells_what_it_leaves(materials: Materials, tmp_path: Path) -> None:
    out = Home(tmp_path / "home").attempt("t1", 1) / "out"
    (out / "deep").mkdir(parents=True)
    (out / "model.bin").write_bytes(b"weights")
    (out / "deep" / "log").write_bytes(b"")
    (out / "best").symlink_to("model.bin")
    (out / "passwd").symlink_to("/etc/passwd")
    (out / "etc").symlink_to("/etc")
    (out / "gone").symlink_to("nowhere")
    os.mkfifo(out / "pipe")
    collected = await materials.collect("t1", 1)
    kept = {artifact.path: (artifact.bytes, artifact.sha256) for artifact in collected.artifacts}
    digest = hashlib.sha256(b"weights").hexdigest()
    assert kept == {
        "best": (7, digest),
        "model.bin": (7, digest),
        "deep/log": (0, hashlib.sha256(b"").hexdigest()),
    }
    assert sorted(note.split()[0] for note in collected.notes) == ["etc", "gone", "passwd", "pipe"]
    assert (await materials.collect("t1", 2)).artifacts == ()


async def test_cancelling_waits_until_the_thread_has_cleaned_up() -> None:
    background = Background(1)
    begun, ended = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def work(stop: Stop) -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            stop.wait(30)
        except Stopped:
            ended.append("cleaned up")
            raise

    task = asyncio.create_task(background.run(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cleaned up"]
    background.close()


async def test_what_waits_for_a_thread_is_cancelled_at_once_and_closing_ends_the_rest() -> None:
    background = Background(1)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(stop: Stop) -> None:
        loop.call_soon_threadsafe(begun.set)
        stop.wait(30)

    first = asyncio.create_task(background.run(work))
    await begun.wait()
    second = asyncio.create_task(background.run(work))
    await asyncio.sleep(0)
    second.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await second
        await asyncio.to_thread(background.close)
        with pytest.raises(Stopped):
            await first


async def test_cancelling_a_preparation_leaves_nothing_half_made(
    materials: Materials, project: Path, tmp_path: Path
) -> None:
    for number in range(300):
        (project / "sub" / f"{number}.py").write_text(f"x = {number}\n")
    snapshot_id = await store(materials, project)
    task = asyncio.create_task(materials.prepare(Task("t1", ["x"], None, snapshot_id), 1))
    attempt = Home(tmp_path / "home").attempt("t1", 1)
    async with asyncio.timeout(10):
        while not (attempt / "work.partial").exists() and not task.done():  # noqa: ASYNC110 - a thread makes it
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (attempt / "work.partial").exists()
    assert not (attempt / "work").exists()
