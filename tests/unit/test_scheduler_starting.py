"""From submit to done: what starts, in which order, with what. A whole scheduler on a real database."""

from pathlib import Path

import pytest

from tests.unit.scheduler_rig import MakeRig, Rig


def test_a_task_goes_from_submit_to_completed(rig: Rig) -> None:
    task = rig.submit_one()
    assert rig.state(task) == "preparing"
    assert task in rig.running()
    rig.deliver()
    rig.advance(1)
    assert rig.state(task) == "running"
    rig.end(task)
    assert rig.state(task) == "completed"
    assert [event.kind for event in rig.events if event.subject == task] == [
        "task.queued",
        "task.preparing",
        "task.running",
        "task.completed",
    ]
    assert rig.clock.next_timer() is None


def test_the_claim_of_a_task_on_an_idle_engine_shares_its_commit(rig: Rig) -> None:
    task = rig.submit_one()
    told = [event for event in rig.events if event.subject == task]
    assert [event.kind for event in told] == ["task.queued", "task.preparing"]
    assert told[0].seq + 1 == told[1].seq
    assert told[0].data["command"] == ["true"]
    assert told[0].data["status"] == "queued"


def test_a_short_tasks_start_and_end_are_written_together(rig: Rig) -> None:
    task = rig.submit_one()
    rig.executor.end(rig.running()[task], 0)
    rig.deliver()
    assert [event.kind for event in rig.events if event.subject == task][2:] == ["task.running", "task.completed"]
    ((started, ended, outcome, pid),) = rig.query("SELECT started_at, ended_at, outcome, pid FROM attempts")
    assert (started, ended, outcome, pid) == (rig.clock.now, rig.clock.now, "completed", 4001)


def test_the_end_of_one_and_the_claim_of_the_next_are_one_transaction(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=1)
    first, second = rig.submit(2)
    commits: list[list[str]] = []
    rig.writer._publish = lambda events: commits.append([f"{event.subject} {event.kind}" for event in events])
    rig.end(first)
    assert [f"{first} task.running", f"{first} task.completed", f"{second} task.preparing"] in commits


def test_a_failed_task_says_how(rig: Rig) -> None:
    one, two = rig.submit(2)
    rig.end(one, 3)
    rig.end(two, signal=9)
    assert (rig.row(one).state, rig.row(one).error, rig.row(one).exit_code) == ("failed", "exit code 3", 3)
    assert rig.row(two).error == "killed by SIGKILL (9)"


def test_a_program_that_is_not_there_fails_and_is_not_retried(rig: Rig) -> None:
    task = rig.submit_one(command=["no-such-program"], max_retries=5)
    rig.deliver()
    assert (rig.row(task).state, rig.row(task).error) == ("failed", "could not start: no such program")


def test_higher_priority_first_then_in_the_order_of_submission(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=1)
    (blocker,) = rig.submit()
    low, normal, high, other = (rig.submit_one(priority=priority) for priority in (1, 5, 10, 5))
    rig.end(blocker)
    order = []
    for _ in range(4):
        (task,) = rig.running()
        order.append(task)
        rig.end(task)
    assert order == [high, normal, other, low]


def test_waiting_counts_like_priority(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=1, ageing_s=60)
    (blocker,) = rig.submit()
    old = rig.submit_one(priority=4)
    rig.advance(121)
    rig.submit_one(priority=6)
    rig.end(blocker)
    assert list(rig.running()) == [old]


def test_gpus_are_given_out_lowest_first_and_named_in_the_environment(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=8, gpus=(0, 2, 5))
    one, two, none = rig.submit_one(gpu=1), rig.submit_one(gpu=2), rig.submit_one()
    seen = {key.task_id: rig.world.environments[key] for key in rig.world.launched}
    assert (seen[one]["CUDA_VISIBLE_DEVICES"], seen[two]["CUDA_VISIBLE_DEVICES"]) == ("0", "2,5")
    assert seen[none]["CUDA_VISIBLE_DEVICES"] == ""
    assert rig.row(two).gpu_ids == "[2, 5]"
    waits = rig.submit_one(gpu=2)
    assert rig.scheduler.explain(waits) == "waits for 2 GPUs (0 free)"
    rig.end(one)
    assert rig.scheduler.explain(waits) == "waits for 2 GPUs (1 free)"
    rig.end(two)
    assert rig.row(waits).gpu_ids == "[0, 2]"


def test_an_attempts_environment(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPFLOOR_KEY", "secret")
    monkeypatch.setenv("LC_ALL", "C")
    rig = make_rig()
    task = rig.submit_one(job_name="prep", env={"MINE": "1", "LC_ALL": "C.UTF-8", "SHOPFLOOR_TASK_ID": "forged"})
    (seen,) = rig.world.environments.values()
    assert "SHOPFLOOR_KEY" not in seen
    assert (seen["MINE"], seen["LC_ALL"], seen["PATH"] != "") == ("1", "C.UTF-8", True)
    assert seen["SHOPFLOOR_TASK_ID"] == task
    assert seen["SHOPFLOOR_ATTEMPT"] == f"{task}#1"
    assert seen["SHOPFLOOR_JOB_NAME"] == "prep"
    assert Path(seen["SHOPFLOOR_OUTPUT"]).is_dir()


def test_folders_that_stayed_empty_are_used_again_and_links_are_not(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=1)
    tidy, sly, third, fourth = rig.submit(4)
    rig.end(tidy)
    out = rig.home.attempt(sly, 1) / "out"
    out.rmdir()
    (rig.home.root / "elsewhere").mkdir(mode=0o700)
    out.symlink_to(rig.home.root / "elsewhere")
    (rig.home.attempt(sly, 1) / "work" / "notes").write_text("mine")
    rig.end(sly)
    assert list(rig.home.attempt(tidy, 1).iterdir()) == []
    rig.end(third)
    for task in (third, fourth):
        assert not (rig.home.attempt(task, 1) / "out").is_symlink()
    assert list((rig.home.attempt(fourth, 1) / "work").iterdir()) == []
    assert (rig.home.attempt(sly, 1) / "work" / "notes").read_text() == "mine"


def test_a_large_task_starts_after_those_that_ran_when_it_earned_its_reservation(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=4, reserve_after_s=30)
    rig.submit(4)
    large = rig.submit_one(cpu=4)
    flood = rig.submit(200)
    for _ in range(30):
        assert len(rig.running()) == 4
        rig.end(next(iter(rig.running())))
        rig.advance(1)
    for left in (4, 3, 2, 1):
        assert len(rig.running()) == left
        rig.end(next(iter(rig.running())))
    assert list(rig.running()) == [large]
    assert rig.scheduler.explain(flood[-1]) == "waits for 1 core (0 free)"


def test_what_does_not_delay_the_reserved_task_still_passes(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=4, gpus=(0,), reserve_after_s=0)
    (runs,) = rig.submit(gpu=1)
    rig.submit_one(cpu=3, gpu=1)
    passes, waits = rig.submit(2)
    assert set(rig.running()) == {runs, passes}
    assert rig.scheduler.explain(waits) == f"room is kept for task {rig.scheduler.board.ready.reservation.holder}"
