"""Snapshots: stored once, restored exactly, never changed by a task."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from engine.materials.background import Stop, Stopped
from engine.materials.errors import InvalidInput, MaterialError, UnknownSnapshot
from engine.materials.snapshots import Snapshots
from engine.materials.trees import Limits, flush


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    root = tmp_path / "home" / "snapshots"
    root.mkdir(parents=True)
    return Snapshots(root, home=tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "train.py").write_text("print('hello')\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "lib" / "part.py").write_text("x = 1\n")
    (folder / "lib" / "link").symlink_to("../train.py")
    (folder / ".gitignore").write_text("*.ckpt\n")
    (folder / "big.ckpt").write_text("weights")
    return folder


def content(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "/"
        else:
            found[name] = f"{path.stat().st_mode & 0o777:o} {path.read_text()}"
    return found


def blocks(root: Path) -> set[int]:
    return {path.stat().st_ino for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def test_restores_what_was_stored_but_what_is_ignored(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    stored = snapshots.store(folder, Stop())
    snapshots.restore(stored.id, tmp_path / "work", Stop())
    expected = content(folder)
    del expected["big.ckpt"]
    assert content(tmp_path / "work") == expected
    assert stored.files == 5
    assert stored.notes == ()


def test_the_id_is_the_content(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    first = snapshots.store(folder, Stop())
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved, symlinks=True)
    os.utime(moved / "train.py", (1, 1))
    assert snapshots.store(moved, Stop()).id == first.id
    (moved / "train.py").chmod(0o755)
    second = snapshots.store(moved, Stop())
    (moved / "train.py").rename(moved / "main.py")
    third = snapshots.store(moved, Stop())
    (moved / "lib" / "link").unlink()
    (moved / "lib" / "link").symlink_to("../main.py")
    fourth = snapshots.store(moved, Stop())
    assert len({first.id, second.id, third.id, fourth.id}) == 4


def test_equal_files_are_on_disk_once_and_storing_again_writes_nothing(
    snapshots: Snapshots, folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "home" / "snapshots"
    snapshots.store(folder, Stop())
    before = blocks(root)
    snapshots.store(folder, Stop())
    assert blocks(root) == before
    (folder / "lib" / "part.py").write_text("x = 2\n")
    snapshots.store(folder, Stop())
    assert len(blocks(root) - before) == 2, "the changed file and the new list of files"


def test_a_task_that_writes_in_its_copy_leaves_the_snapshot_alone(
    snapshots: Snapshots, folder: Path, tmp_path: Path
) -> None:
    stored = snapshots.store(folder, Stop())
    snapshots.restore(stored.id, tmp_path / "one", Stop())
    (tmp_path / "one" / "train.py").write_text("spoilt")
    (tmp_path / "one" / "lib" / "part.py").unlink()
    snapshots.restore(stored.id, tmp_path / "two", Stop())
    assert (tmp_path / "two" / "train.py").read_text() == "print('hello')\n"
    assert (tmp_path / "two" / "lib" / "part.py").exists()


def test_a_damaged_copy_is_named_and_not_run(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    stored = snapshots.store(folder, Stop())
    damaged = snapshots.tree(stored.id) / "train.py"
    damaged.chmod(0o600)
    damaged.write_text("print('evil!')\n")
    with pytest.raises(MaterialError, match=r"train\.py is not what it was"):
        snapshots.restore(stored.id, tmp_path / "work", Stop())
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "work.partial").exists()


def test_a_damaged_list_of_files_is_named(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    stored = snapshots.store(folder, Stop())
    manifest = tmp_path / "home" / "snapshots" / stored.id / "manifest.json"
    manifest.write_text(manifest.read_text().replace("train.py", "trane.py"))
    with pytest.raises(MaterialError, match="damaged"):
        snapshots.manifest(stored.id)
    manifest.write_text("[{")
    with pytest.raises(MaterialError, match="can't be read"):
        snapshots.manifest(stored.id)


def test_restoring_again_after_a_kill_in_the_middle(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    stored = snapshots.store(folder, Stop())
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "work.partial" / "lib").mkdir(parents=True)
    (tmp_path / "work.partial" / "train.py").write_text("half")
    snapshots.restore(stored.id, work, Stop())
    (work / "mine").write_text("kept")
    snapshots.restore(stored.id, work, Stop())
    assert (work / "train.py").read_text() == "print('hello')\n"
    assert (work / "mine").read_text() == "kept"


def test_links_that_lead_out_are_left_out_and_told(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    (folder / "up").symlink_to("../outside")
    (folder / "absolute").symlink_to(folder / "train.py")
    (folder / "lib" / "deep").symlink_to("../../project/train.py")
    (folder / "lib" / "parent").symlink_to("..")
    (folder / "sly").symlink_to("lib/parent/../../etc")
    (folder / "dangling").symlink_to("nowhere")
    stored = snapshots.store(folder, Stop())
    snapshots.restore(stored.id, tmp_path / "work", Stop())
    kept = {name for name, what in content(tmp_path / "work").items() if what.startswith("->")}
    assert kept == {"lib/link", "lib/parent", "dangling"}
    assert len(stored.notes) == 4
    assert any(note.startswith("up is a link that leads out of the folder") for note in stored.notes)


def test_a_socket_or_pipe_is_refused_by_name(snapshots: Snapshots, folder: Path) -> None:
    os.mkfifo(folder / "lib" / "pipe")
    with pytest.raises(InvalidInput, match=r"lib/pipe is a named pipe"):
        snapshots.store(folder, Stop())
    (folder / "lib" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        with pytest.raises(InvalidInput, match=r"sock is a socket") as caught:
            snapshots.store(folder, Stop())
    assert caught.value.field == "path"


@pytest.mark.parametrize(("limits", "words"), [(Limits(3, 1 << 20), "more than 3 entries"), (Limits(99, 20), "20 B")])
def test_a_folder_that_is_too_large_is_refused(tmp_path: Path, folder: Path, limits: Limits, words: str) -> None:
    snapshots = Snapshots(tmp_path / "home", home=tmp_path / "home", limits=limits)
    with pytest.raises(InvalidInput, match=words):
        snapshots.store(folder, Stop())


def test_what_is_no_folder_is_refused(snapshots: Snapshots, folder: Path) -> None:
    for path, words in ((folder / "train.py", "no such folder"), (Path("relative"), "absolute")):
        with pytest.raises(InvalidInput, match=words):
            snapshots.store(path, Stop())


def test_the_home_of_the_engine_never_enters(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "key").write_text("secret")
    stored = snapshots.store(tmp_path, Stop())
    assert not any(entry.path.startswith("home") for entry in snapshots.manifest(stored.id).entries)


def test_stopping_leaves_nothing_half_made(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    stored = snapshots.store(folder, Stop())
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped):
        snapshots.restore(stored.id, tmp_path / "work", stop)
    (folder / "new").write_text("new")
    with pytest.raises(Stopped):
        snapshots.store(folder, stop)
    assert not (tmp_path / "work").exists()
    assert list((tmp_path / "home" / "snapshots").glob("[0-9a-f]*")) == [tmp_path / "home" / "snapshots" / stored.id]
    assert not list((tmp_path / "home" / "snapshots" / ".partial").iterdir())


def test_leftovers_of_an_interrupted_engine_go_at_boot(snapshots: Snapshots, folder: Path, tmp_path: Path) -> None:
    stored = snapshots.store(folder, Stop())
    partial = tmp_path / "home" / "snapshots" / ".partial"
    (partial / "abc" / "tree").mkdir(parents=True)
    snapshots.spool().write_bytes(b"half an upload")
    snapshots.clean()
    assert not partial.exists()
    assert snapshots.has(stored.id)


@pytest.mark.parametrize("unknown", ["", "0" * 64, "../../etc", ".blobs", "..", "x" * 64])
def test_an_unknown_id_names_no_path(snapshots: Snapshots, unknown: str) -> None:
    assert not snapshots.has(unknown)
    with pytest.raises(UnknownSnapshot):
        snapshots.manifest(unknown)


def test_a_flush_of_many_files_is_whole_and_can_be_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / str(number) for number in range(300)]
    for path in paths:
        path.touch()
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    flush(paths, Stop())
    assert sorted(flushed) == sorted(path.stat().st_ino for path in paths)
    stopped = Stop()
    stopped.set()
    with pytest.raises(Stopped):
        flush(paths, stopped)
