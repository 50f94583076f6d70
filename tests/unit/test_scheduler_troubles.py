"""Pauses, limits, full disks, a clock that is set, faults of our own: the queue goes on."""

import pytest

from tests.unit.scheduler_rig import MakeRig, Rig


def test_a_paused_queue_starts_nothing_also_after_a_restart(rig: Rig) -> None:
    rig.run(rig.scheduler.pause("upgrade", "bob"))
    task = rig.submit_one()
    assert rig.scheduler.explain(task) == "the queue is paused by bob"
    rig.stop()
    rig.boot()
    assert rig.state(task) == "queued"
    rig.run(rig.scheduler.resume("bob"))
    rig.settle()
    assert task in rig.running()
    assert [event.kind for event in rig.events if event.subject == "queue"] == ["queue.paused", "queue.resumed"]


def test_a_group_runs_no_more_than_its_limit_also_after_a_restart(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=4)
    rig.run(rig.scheduler.limit_group("sweep", 1, "bob"))
    first, second = rig.submit(2, group="sweep")
    other = rig.submit_one()
    assert set(rig.running()) == {first, other}
    assert rig.scheduler.explain(second) == "group limit sweep 1/1"
    rig.crash()
    rig.boot()
    assert set(rig.running()) == {first, other}
    rig.run(rig.scheduler.limit_group("sweep", None, "bob"))
    rig.settle()
    assert set(rig.running()) == {first, other, second}


def test_nothing_starts_while_the_disk_is_nearly_full(rig: Rig) -> None:
    rig.free_mb = 100
    task = rig.submit_one()
    assert rig.state(task) == "queued"
    assert rig.scheduler.explain(task) == "the disk is nearly full (100 MB free)"
    rig.advance(60)
    assert rig.state(task) == "queued"
    rig.free_mb = 1000
    rig.advance(6)
    assert task in rig.running()


def test_an_idle_engine_waits_for_nothing(rig: Rig) -> None:
    rig.free_mb = 0
    rig.advance(3600)
    assert rig.clock.next_timer() is None


def test_what_could_not_be_written_is_written_when_there_is_room_again(rig: Rig) -> None:
    first = rig.submit_one()
    second = rig.submit_one(after=[first])
    rig.writer.disk_full = True
    rig.end(first)
    assert rig.state(first) == "preparing"
    rig.advance(10)
    rig.writer.disk_full = False
    rig.advance(1.1)
    assert rig.state(first) == "completed"
    assert second in rig.running()
    assert rig.scheduler.board.capacity.free_cpu == 1


def test_a_submit_that_could_not_be_written_leaves_nothing(rig: Rig) -> None:
    rig.writer.disk_full = True
    with pytest.raises(Exception, match="the disk is full"):
        rig.submit_one()
    rig.writer.disk_full = False
    assert len(rig.scheduler.board.ready) == 0
    assert rig.scheduler.board.capacity.free_cpu == 2
    rig.advance(2)
    rig.submit(2)
    assert len(rig.running()) == 2


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_setting_the_machines_clock_neither_ends_nor_holds_up_anything(make_rig: MakeRig, jump_s: float) -> None:
    rig = make_rig(cpu=4)
    slow = rig.submit_one(timeout_s=60)
    again = rig.submit_one(max_retries=1)
    rig.deliver()
    rig.end(again, exit_code=1)
    rig.clock_set = jump_s
    late = rig.submit_one(timeout_s=60)
    rig.deliver()
    rig.advance(30)
    assert rig.state(slow) == "running"
    assert rig.row(again).attempt == 2
    rig.end(again)
    rig.advance(31)
    rig.deliver()
    assert (rig.state(slow), rig.row(slow).error) == ("failed", "timed out after 60 s")
    assert rig.row(late).error == "timed out after 60 s"


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_disk_that_was_full_while_the_clock_was_set_back_is_tried_again_soon(rig: Rig, jump_s: float) -> None:
    task = rig.submit_one()
    rig.writer.disk_full = True
    rig.end(task)
    rig.clock_set = jump_s
    rig.writer.disk_full = False
    rig.advance(2)
    assert rig.state(task) == "completed"


def test_a_task_waits_while_its_folder_can_not_be_made_and_then_starts_by_itself(rig: Rig) -> None:
    first = rig.submit_one()
    aside = rig.home.tasks.rename(rig.home.root / "aside")
    task = rig.submit_one()
    assert rig.state(task) == "queued"
    assert "disk" in (rig.scheduler.explain(task) or "")
    rig.end(first)
    assert rig.state(first) == "completed"
    aside.rename(rig.home.tasks)
    rig.advance(10)
    assert rig.state(task) == "preparing"


def test_a_fault_after_a_commit_neither_holds_up_the_queue_nor_the_stop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(launches: object) -> None:
        raise ValueError(launches)

    monkeypatch.setattr(rig.executor, "launch", broken)
    rig.loop.set_exception_handler(lambda loop, context: None)
    first = rig.submit_one()
    assert rig.state(first) == "preparing"
    monkeypatch.undo()
    second = rig.submit_one()
    assert second in rig.running()
    rig.stop()
    rig.boot()
    assert first in rig.running()


def test_a_task_that_found_no_room_to_start_waits_and_starts_again_by_itself(rig: Rig) -> None:
    task = rig.submit_one()
    rig.end(task, lost="the disk had no room for it to start", no_room=True)
    assert rig.state(task) == "queued"
    assert "disk" in (rig.scheduler.explain(task) or "")
    other = rig.submit_one()
    rig.advance(4)
    assert rig.state(other) == "queued"
    rig.advance(2)
    assert (rig.state(task), rig.row(task).attempt) == ("preparing", 2)
    assert rig.state(other) == "preparing"


def test_a_task_that_can_not_be_claimed_is_cancelled_and_holds_up_no_other(rig: Rig) -> None:
    busy = rig.submit(2)
    poisoned, good = rig.submit(2)
    after = rig.submit_one(after=[poisoned])
    rig.run(rig.writer_executes("UPDATE tasks SET env = '{' WHERE id = :id", poisoned))
    for task in busy:
        rig.end(task)
    assert rig.state(good) == "preparing"
    assert rig.state(poisoned) == "cancelled"
    assert "could not be started" in (rig.row(poisoned).error or "")
    assert rig.state(after) == "skipped"
    rig.end(good)
    assert rig.state(good) == "completed"
    assert rig.scheduler.board.capacity.free_cpu == 2


def test_an_end_that_can_not_be_written_fails_its_task_and_holds_up_no_other(rig: Rig) -> None:
    poisoned, good = rig.submit(2)
    (rig.home.attempt(poisoned, 1) / "out" / "model").write_text("weights")
    clash = "INSERT INTO artifacts VALUES (:id || '-1-0', :id, 1, 'x', 1, 'x', 1.0)"
    rig.run(rig.writer_executes(clash, poisoned))
    for task in (poisoned, good):
        rig.executor.end(rig.running()[task], 0)
    rig.deliver()
    assert rig.state(good) == "completed"
    assert (rig.state(poisoned), rig.row(poisoned).error) == (
        "failed",
        "how it ended could not be written; the engine's log says why",
    )
    assert not rig.scheduler.board.live
    assert rig.scheduler.board.capacity.free_cpu == 2
