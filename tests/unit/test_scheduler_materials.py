"""Preparing, and keeping what a task leaves."""

import pytest

from tests.unit.scheduler_rig import Rig


def test_preparing_comes_before_the_start_and_brings_its_environment(rig: Rig) -> None:
    rig.materials.ready.clear()
    task = rig.submit_one(snapshot_id="abc")
    assert (rig.state(task), rig.running()) == ("preparing", {})
    rig.materials.ready.set()
    rig.settle()
    assert rig.world.environments[rig.running()[task]]["DATA"] == "/data"
    rig.end(task)
    assert rig.materials.released == [(task, 1)]


def test_preparing_that_fails_fails_the_task_with_its_message(rig: Rig) -> None:
    from engine.materials.errors import MaterialError

    rig.materials.trouble = MaterialError("its SHA-256 is aa, expected bb")
    task = rig.submit_one(snapshot_id="abc", max_retries=3)
    rig.settle()
    assert (rig.row(task).state, rig.row(task).error) == ("failed", "its SHA-256 is aa, expected bb")
    assert rig.scheduler.board.capacity.free_cpu == 2


def test_a_task_is_cancelled_while_it_is_prepared(rig: Rig) -> None:
    rig.materials.ready.clear()
    task = rig.submit_one(snapshot_id="abc")
    rig.cancel(task)
    assert rig.state(task) == "cancelled"
    assert rig.world.launched == []


def test_preparing_is_done_again_by_the_next_engine(rig: Rig) -> None:
    rig.materials.ready.clear()
    task = rig.submit_one(snapshot_id="abc")
    rig.crash()
    rig.boot()
    rig.settle()
    assert rig.materials.prepared == [(task, 1)]
    assert rig.world.launched == [(task, 1)]


def _leave(rig: Rig, task: str, name: str) -> None:
    (rig.home.attempt(task, 1) / "out" / name).write_text("weights")


@pytest.mark.parametrize("exit_code", [0, 1])
def test_what_a_task_leaves_is_kept(rig: Rig, exit_code: int) -> None:
    task = rig.submit_one()
    _leave(rig, task, "model.bin")
    rig.materials.ready.clear()
    rig.end(task, exit_code)
    assert rig.state(task) == "collecting"
    rig.materials.ready.set()
    rig.settle()
    assert rig.state(task) == ("failed" if exit_code else "completed")
    assert rig.query("SELECT task_id, attempt, path, bytes FROM artifacts") == [(task, 1, "model.bin", 7)]


def test_collecting_is_done_again_by_the_next_engine(rig: Rig) -> None:
    task = rig.submit_one(max_retries=1)
    _leave(rig, task, "model.bin")
    rig.materials.ready.clear()
    rig.end(task, 1)
    rig.crash()
    rig.boot()
    rig.settle()
    assert rig.row(task).reason == "attempt 1: exit code 1; retry 1 of 1"
    assert len(rig.query("SELECT * FROM artifacts")) == 1


def test_collecting_is_cancelled(rig: Rig) -> None:
    task = rig.submit_one()
    _leave(rig, task, "model.bin")
    rig.materials.ready.clear()
    rig.end(task)
    rig.cancel(task)
    assert rig.state(task) == "cancelled"
