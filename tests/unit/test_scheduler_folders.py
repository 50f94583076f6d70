"""Folders of attempts: made ahead while nothing starts, used, taken over, and made on the spot when there are none."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.executors.base import AttemptKey
from engine.scheduler.folders import AttemptFolders
from engine.settings import Home
from tests.keeping import true


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


def at_once(work: Callable[[], None]) -> None:
    work()


def ready(home: Home) -> list[Path]:
    return sorted(home.tasks.glob(".ready-*"))


async def filled(home: Home) -> AttemptFolders:
    folders = AttemptFolders(home, at_once)
    folders.open()
    await true(lambda: len(ready(home)) == 32)
    return folders


def whole(home: Home, key: AttemptKey) -> bool:
    """Whether an attempt has all of its folders, empty and for the owner alone."""
    folder = home.attempt(*key)
    return sorted(folder.iterdir()) == [folder / "out", folder / "work"] and all(
        each.stat().st_mode & 0o777 == 0o700 for each in (folder.parent, folder, folder / "out", folder / "work")
    )


async def test_ready_folders_are_used_and_made_again_when_nothing_starts(home: Home) -> None:
    folders = await filled(home)
    before = ready(home)
    keys = [AttemptKey(f"t{number}", 1) for number in range(5)]
    for key in keys:
        folders.make(key)
    assert len(ready(home)) == 27
    assert all(whole(home, key) for key in keys)
    await true(lambda: len(ready(home)) == 32)
    assert len({*before, *ready(home)}) == 37
    folders.close()


async def test_more_attempts_than_are_ready_get_folders_all_the_same(home: Home) -> None:
    folders = await filled(home)
    keys = [AttemptKey(f"t{number}", 1) for number in range(50)]
    for key in keys:
        folders.make(key)
    assert all(whole(home, key) for key in keys)
    folders.close()


async def test_a_second_attempt_stands_beside_the_first_and_keeps_what_is_there(home: Home) -> None:
    folders = await filled(home)
    folders.make(AttemptKey("t1", 1))
    (home.attempt("t1", 1) / "output.log").write_text("said")
    folders.make(AttemptKey("t1", 2))
    folders.make(AttemptKey("t1", 1))
    assert whole(home, AttemptKey("t1", 2))
    assert (home.attempt("t1", 1) / "output.log").read_text() == "said"
    folders.close()


async def test_a_folder_from_a_claim_that_was_not_written_is_used_and_costs_no_ready_one(home: Home) -> None:
    folders = await filled(home)
    key = AttemptKey("a", 1)
    folders.make(key)
    await true(lambda: len(ready(home)) == 32)
    folders.make(key)
    assert whole(home, key)
    assert len(ready(home)) == 32
    others = [AttemptKey(f"b{number}", 1) for number in range(32)]
    for other in others:
        folders.make(other)
    assert not ready(home)
    folders.close()


async def test_what_an_engine_before_made_ready_is_taken_over_save_what_is_not_whole(home: Home) -> None:
    (await filled(home)).close()
    half, strange, *_ = ready(home)
    (half / "1").rename(home.root / "aside")
    (strange / "1" / "out").rmdir()
    (home.tasks / ".ready-mine").mkdir()
    folders = AttemptFolders(home, at_once)
    folders.open()
    keys = [AttemptKey(f"t{number}", 1) for number in range(40)]
    for key in keys:
        folders.make(key)
    assert all(whole(home, key) for key in keys)
    folders.close()


async def test_without_room_for_ready_ones_each_attempt_makes_its_own(home: Home) -> None:
    aside = home.tasks.rename(home.root / "aside")
    tried = asyncio.Event()

    def background(work: Callable[[], None]) -> None:
        work()
        tried.set()

    folders = AttemptFolders(home, background)
    folders.open()
    await tried.wait()
    with pytest.raises(FileNotFoundError):
        folders.make(AttemptKey("t1", 1))
    aside.rename(home.tasks)
    folders.make(AttemptKey("t1", 1))
    assert whole(home, AttemptKey("t1", 1))
    folders.close()


async def test_empty_folders_are_used_again_and_others_are_left_alone(home: Home) -> None:
    folders = AttemptFolders(home, None)
    empty, used = AttemptKey("t1", 1), AttemptKey("t2", 1)
    for key in (empty, used):
        folders.make(key)
    number = (home.attempt(*empty) / "out").stat().st_ino
    kept = home.attempt(*used) / "out" / "model"
    kept.write_text("weights")
    (home.attempt(*used) / "work").rmdir()
    (home.attempt(*used) / "work").symlink_to(home.root)
    assert folders.left_something(used)
    assert not folders.left_something(empty)
    folders.recycle(empty)
    folders.recycle(used)
    fresh = [AttemptKey("t3", 1), AttemptKey("t4", 1), AttemptKey("t5", 1)]
    for key in fresh:
        folders.make(key)
    assert all(whole(home, key) for key in fresh)
    assert (home.attempt(*fresh[0]) / "out").stat().st_ino == number
    assert kept.read_text() == "weights"
    assert (home.attempt(*used) / "work").is_symlink()
