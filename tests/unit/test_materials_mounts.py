"""Where datasets are linked: never out of the working folder by accident, shared without harm, gone in the end."""

import os
import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.materials.errors import InvalidInput, MaterialError
from engine.materials.mounts import Mounts, check_specs, environment_name, mount_inside, mount_target
from engine.protocol.tasks import DatasetSpec


def spec(name: str = "rows", mount_path: str | None = None) -> DatasetSpec:
    return DatasetSpec(name=name, source="/x", mount_path=mount_path)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    content = tmp_path / "content"
    content.write_text("rows")
    return content


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(tmp_path / "registry")


@pytest.mark.parametrize(
    ("given_path", "target"),
    [
        (None, "datasets/rows"),
        ("data", "data"),
        ("./data/../in/rows.csv", "in/rows.csv"),
        ("/data/rows/", "/data/rows"),
        ("//data", "/data"),
    ],
)
def test_where_it_is_wanted(given_path: str | None, target: str) -> None:
    assert mount_target(spec(mount_path=given_path)) == target


@pytest.mark.parametrize("path", ["..", ".", "../x", "a/../..", "a/../../b", "/", "//", "/..", "a\0b", "./"])
def test_a_path_that_climbs_out_is_refused_by_name(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        mount_target(spec(mount_path=path), "dataset_specs.0.mount_path")
    assert caught.value.field == "dataset_specs.0.mount_path"


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "c d", "~", "$HOME", "\\..", "…"]), min_size=1).map("/".join))
def test_a_relative_path_is_refused_or_stays_below(path: str) -> None:
    try:
        target = mount_target(DatasetSpec.model_construct(name="rows", source="/x", sha256=None, mount_path=path))
    except InvalidInput:
        return
    if not path.startswith("/"):
        assert posixpath.normpath(f"/work/{target}").startswith("/work/")
        assert ".." not in target.split("/")


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_of_dots_is_none(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_specs([spec(name, "data")])
    assert caught.value.field == "dataset_specs.0.name"


@pytest.mark.parametrize(
    ("specs", "field"),
    [
        ([spec("a", "data"), spec("b", "data")], "dataset_specs.1.mount_path"),
        ([spec("a", "data"), spec("b", "data/b")], "dataset_specs.1.mount_path"),
        ([spec("a", "/data/a/b"), spec("b", "/data/a")], "dataset_specs.1.mount_path"),
        ([spec("a"), spec("a", "other")], "dataset_specs.1.name"),
        ([spec("a-b"), spec("a.b")], "dataset_specs.1.name"),
    ],
)
def test_mounts_that_can_not_stand_together_are_named(specs: list[DatasetSpec], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_specs(specs)
    assert caught.value.field == field


def test_names_become_variables() -> None:
    assert environment_name("my-data.v2") == "SHOPFLOOR_DATASET_MY_DATA_V2"


def test_inside_the_working_folder_and_again(tmp_path: Path, content: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for _ in range(2):
        assert mount_inside(work, "in/rows", content).read_text() == "rows"


def test_what_the_snapshot_has_there_is_left_alone(tmp_path: Path, content: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "rows").write_text("mine")
    with pytest.raises(MaterialError, match="something there already"):
        mount_inside(work, "rows", content)
    with pytest.raises(MaterialError, match=r"can't be made|something there"):
        mount_inside(work, "rows/deeper", content)
    assert (work / "rows").read_text() == "mine"


def test_a_link_of_the_snapshot_does_not_lead_it_out(tmp_path: Path, content: Path) -> None:
    work, victim = tmp_path / "work", tmp_path / "victim"
    work.mkdir()
    victim.mkdir()
    (work / "data").symlink_to(victim)
    with pytest.raises(MaterialError, match="leads out"):
        mount_inside(work, "data/rows", content)
    assert not list(victim.iterdir())


def test_a_shared_link_goes_with_its_last_user(tmp_path: Path, mounts: Mounts, content: Path) -> None:
    target = tmp_path / "data" / "deep" / "rows"
    mounts.take("a#1", str(target), content)
    mounts.take("b#1", str(target), content)
    mounts.take("b#1", str(target), content)
    mounts.release("a#1")
    assert target.read_text() == "rows"
    mounts.release("b#1")
    assert not (tmp_path / "data").exists()
    assert content.exists()
    assert not list((tmp_path / "registry").iterdir())


def test_folders_that_hold_something_else_stay(tmp_path: Path, mounts: Mounts, content: Path) -> None:
    target = tmp_path / "data" / "rows"
    mounts.take("a#1", str(target), content)
    (tmp_path / "data" / "mine").write_text("x")
    mounts.release("a#1")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling"])
def test_what_else_is_there_is_left_alone(tmp_path: Path, mounts: Mounts, content: Path, kind: str) -> None:
    target = tmp_path / "taken"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path if kind == "link" else "nowhere")
    before = os.lstat(target)
    with pytest.raises(MaterialError, match="something else is there already"):
        mounts.take("a#1", str(target), content)
    mounts.release("a#1")
    mounts.recover(set())
    assert os.lstat(target).st_ino == before.st_ino


def test_other_data_at_the_same_place_has_to_wait(tmp_path: Path, mounts: Mounts, content: Path) -> None:
    target = str(tmp_path / "data")
    (tmp_path / "other").write_text("other")
    mounts.take("a#1", target, content)
    with pytest.raises(MaterialError, match="a task that is running has another dataset there"):
        mounts.take("b#1", target, tmp_path / "other")
    mounts.release("b#1")
    assert Path(target).read_text() == "rows"
    mounts.release("a#1")
    mounts.take("b#1", target, tmp_path / "other")
    assert Path(target).read_text() == "other"


def test_a_place_that_can_not_be_made_is_a_sentence(tmp_path: Path, mounts: Mounts, content: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MaterialError, match="can't be made"):
        mounts.take("a#1", str(tmp_path / "file" / "rows"), content)
    assert not list((tmp_path / "registry").iterdir())


def test_after_a_crash_what_no_live_attempt_uses_goes(tmp_path: Path, mounts: Mounts, content: Path) -> None:
    mounts.take("dead#1", str(tmp_path / "one" / "rows"), content)
    mounts.take("live#2", str(tmp_path / "two"), content)
    mounts.take("dead#1", str(tmp_path / "two"), content)
    (tmp_path / "registry" / "torn.json").write_text("{")
    again = Mounts(tmp_path / "registry")
    again.recover({"live#2"})
    assert not (tmp_path / "one").exists()
    assert (tmp_path / "two").read_text() == "rows"
    again.release("live#2")
    assert not os.path.lexists(tmp_path / "two")


def test_a_crash_between_the_note_and_the_link(tmp_path: Path, mounts: Mounts, content: Path) -> None:
    target = tmp_path / "data"
    mounts.take("a#1", str(target), content)
    target.unlink()
    again = Mounts(tmp_path / "registry")
    again.recover({"a#1"})
    again.take("a#1", str(target), content)
    assert target.read_text() == "rows"
    target.unlink()
    target.write_text("someone's own by now")
    again.release("a#1")
    assert target.read_text() == "someone's own by now"
