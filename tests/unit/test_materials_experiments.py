"""Experiments and their snapshots as an operator asks for them."""

import io
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.control.errors import Problem
from engine.control.experiments import Experiments
from engine.materials.prepare import Materials
from engine.protocol.states import ErrorCode
from engine.protocol.tasks import SubmitTask
from engine.protocol.work import CreateExperiment, StoreSnapshot
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.reads import Reads
from engine.store.rows import Event
from engine.store.writer import Writer


@dataclass
class Engine:
    experiments: Experiments
    materials: Materials
    reads: Reads
    told: list[Event]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    home = Home(tmp_path / "home")
    home.create()
    database = Database.open(f"sqlite:///{home.database}")
    told: list[Event] = []
    writer = Writer(database, told.extend)
    writer.start()
    reads = Reads(database)
    materials = Materials(home, Settings(home=home.root), reads.newest_snapshot)
    yield Engine(Experiments(writer, materials), materials, reads, told)
    materials.close()
    writer.close()
    reads.close()
    database.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("print('hello')\n")
    return project


async def test_an_experiment_is_made_once(engine: Engine) -> None:
    made = await engine.experiments.create(CreateExperiment(name="exp one", description="a line of work"), "ada")
    assert (made.name, made.commit_id, made.status) == ("exp one", None, "active")
    with pytest.raises(Problem) as caught:
        await engine.experiments.create(CreateExperiment(name="exp one"), "ada")
    assert caught.value.code is ErrorCode.CONFLICT
    assert "'exp one'" in caught.value.message
    assert [row.id for row in await engine.reads.experiments()] == [made.id]
    assert [(event.kind, event.subject) for event in engine.told] == [("experiment.created", made.id)]


async def test_a_snapshot_makes_its_experiment_and_becomes_its_newest(engine: Engine, project: Path) -> None:
    wish = StoreSnapshot(path=str(project), experiment="exp")
    first = await engine.experiments.store(wish, "ada")
    (project / "train.py").write_text("print('changed')\n")
    second = await engine.experiments.store(wish, "ada")
    (experiment,) = await engine.reads.experiments()
    assert (experiment.name, experiment.commit_id) == ("exp", second.id)
    (project / "train.py").write_text("print('hello')\n")
    again = await engine.experiments.store(wish, "ada")
    assert again.id == first.id
    assert again.created_at == first.created_at, "the same content is the same snapshot"
    assert (await engine.reads.experiments())[0].commit_id == first.id
    resolved = await engine.materials.resolve(SubmitTask(job_name="exp", args="--lr 1"))
    assert resolved.snapshot_id == first.id
    assert list(resolved.command) == ["python3", "-u", "train.py", "--lr", "1"]
    assert [event.kind for event in engine.told] == [
        "experiment.created", "snapshot.stored", "snapshot.stored", "snapshot.stored"
    ]  # fmt: skip


async def test_what_was_left_out_is_told(engine: Engine, project: Path) -> None:
    (project / "secrets").symlink_to("/etc/passwd")
    stored = await engine.experiments.store(StoreSnapshot(path=str(project)), "ada")
    assert stored.experiment is None
    assert [note.split()[0] for note in stored.notes] == ["secrets"]


@pytest.mark.parametrize("path", ["/no/such/folder", "relative"])
async def test_a_folder_that_can_not_be_stored_is_a_422(engine: Engine, path: str) -> None:
    with pytest.raises(Problem) as caught:
        await engine.experiments.store(StoreSnapshot(path=path), "ada")
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    (field,) = caught.value.fields
    assert (field.field, field.value) == ("path", path)


async def chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def test_an_archive_from_elsewhere_is_the_same_snapshot(engine: Engine, project: Path, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(project, arcname=".")
    sent = await engine.experiments.store_archive(chunks(packed.getvalue(), 100), "exp", "ada")
    assert sent.id == (await engine.experiments.store(StoreSnapshot(path=str(project)), "ada")).id
    assert sent.experiment == "exp"
    assert not list((tmp_path / "home" / "snapshots" / ".partial").iterdir())


async def test_an_archive_that_is_none_is_a_422_and_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    for content in (b"", b"nonsense"):
        with pytest.raises(Problem) as caught:
            await engine.experiments.store_archive(chunks(content, 3), None, "ada")
        assert caught.value.code is ErrorCode.VALIDATION_ERROR
        assert caught.value.fields[0].field == "archive"
    assert not list((tmp_path / "home" / "snapshots" / ".partial").iterdir())
    assert await engine.reads.snapshots() == []


async def test_an_upload_that_breaks_off_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        await engine.experiments.store_archive(breaking(), None, "ada")
    assert not list((tmp_path / "home" / "snapshots" / ".partial").iterdir())
