"""What becomes of tasks: each test drives a whole scheduler on a real database."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.scheduler.refusals import Refused
from tests.unit.scheduler_rig import Rig

MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        made.append(Rig(tmp_path / str(len(made)), **options))
        return made[-1]

    yield make
    for rig in made:
        rig.crash()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig(cpu=2)


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


def test_dependencies_wait_for_all(rig: Rig) -> None:
    one, two = rig.submit(2)
    last = rig.submit_one(after=[one, two])
    assert rig.state(last) == "blocked"
    rig.end(one)
    assert rig.state(last) == "blocked"
    rig.end(two)
    assert last in rig.running()


def test_a_failed_dependency_skips_all_that_wait_and_names_itself(rig: Rig) -> None:
    first = rig.submit_one(job_name="prep")
    second = rig.submit_one(job_name="train", after=[first])
    third = rig.submit_one(job_name="export", after=[second])
    rig.end(first, 7)
    assert rig.row(second).state == "skipped"
    assert rig.row(second).error == f"skipped: task {first} (prep) failed: exit code 7"
    assert rig.row(third).reason == f"task {second} was skipped: task {first} (prep) failed: exit code 7"
    late = rig.submit_one(after=[first])
    assert rig.row(late).reason == f"task {first} (prep) failed: exit code 7"


def test_a_cancelled_dependency_skips_what_waits(rig: Rig) -> None:
    first = rig.submit_one(job_name="prep")
    second = rig.submit_one(after=[first])
    rig.cancel(first)
    rig.deliver()
    assert rig.row(second).reason == f"task {first} (prep) was cancelled by bob"


def test_a_dependency_that_does_not_exist_is_refused_by_name(rig: Rig) -> None:
    with pytest.raises(Refused) as refused:
        rig.submit_one(after=["nowhere1"])
    assert (refused.value.field, refused.value.value) == ("after", "nowhere1")
    assert rig.rows() == {}


def test_a_task_after_one_that_completed_starts(rig: Rig) -> None:
    first = rig.submit_one()
    rig.end(first)
    second = rig.submit_one(after=[first])
    assert second in rig.running()


def test_retries_wait_longer_each_time_and_then_fail(make_rig: MakeRig) -> None:
    rig = make_rig(retry_base_s=10, retry_cap_s=25)
    task = rig.submit_one(max_retries=3)
    waits = []
    for retry in (1, 2, 3):
        rig.end(task, 1)
        assert rig.row(task).reason == f"attempt {retry}: exit code 1; retry {retry} of 3"
        assert rig.state(task) == "queued"
        assert (rig.scheduler.explain(task) or "").startswith("retry in ")
        due = rig.clock.next_timer()
        assert due is not None
        waits.append(due - rig.clock.now)
        rig.advance(waits[-1] + 0.1)
        assert rig.row(task).attempt == retry + 1
    rig.end(task, 1)
    assert rig.row(task).state == "failed"
    assert [9 <= waits[0] <= 11, 18 <= waits[1] <= 22, 22.5 <= waits[2] <= 27.5] == [True] * 3
    assert rig.clock.next_timer() is None


def test_an_attempt_that_takes_too_long_is_ended_and_retried(rig: Rig) -> None:
    task = rig.submit_one(timeout_s=60, max_retries=1)
    rig.deliver()
    rig.advance(59)
    assert rig.world.cancels == []
    rig.advance(2)
    rig.deliver()
    assert rig.row(task).reason == "attempt 1: timed out after 60 s; retry 1 of 1"
    rig.advance(5)
    rig.deliver()
    rig.advance(61)
    rig.deliver()
    assert (rig.row(task).state, rig.row(task).error) == ("failed", "timed out after 60 s")
    assert [row[0] for row in rig.query("SELECT outcome FROM attempts")] == ["timed_out", "timed_out"]


def test_the_deadline_of_a_task_that_has_ended_is_forgotten(rig: Rig) -> None:
    for task in rig.submit(200, timeout_s=86_400):
        rig.end(task)
    assert rig.clock.next_timer() is None
    assert len(rig.scheduler._attempts._deadlines) < 100


def test_a_timeout_goes_on_over_a_restart(rig: Rig) -> None:
    task = rig.submit_one(timeout_s=60)
    rig.deliver()
    rig.advance(40)
    rig.crash()
    rig.boot()
    rig.deliver()
    rig.advance(19)
    assert rig.state(task) == "running"
    rig.advance(2)
    rig.deliver()
    assert rig.row(task).error == "timed out after 60 s"


def test_a_queued_task_is_cancelled_at_once(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=1)
    runs, waits = rig.submit(2)
    rig.cancel(waits)
    assert (rig.row(waits).state, rig.row(waits).error) == ("cancelled", "cancelled by bob")
    rig.end(runs)
    assert rig.running() == {}


def test_a_running_task_is_cancelled_when_its_processes_are_gone(rig: Rig) -> None:
    task = rig.submit_one(max_retries=5)
    rig.deliver()
    rig.world.stubborn = True
    rig.cancel(task)
    assert rig.state(task) == "preparing"
    assert rig.row(task).reason == "bob asked to cancel it; its processes are being ended"
    rig.advance(1)
    assert rig.state(task) == "running"
    rig.end(task, signal=15)
    assert (rig.row(task).state, rig.row(task).error) == ("cancelled", "cancelled by bob")


def test_a_cancel_that_was_committed_wins_over_an_end_that_came_with_it(rig: Rig) -> None:
    task = rig.submit_one(max_retries=5)
    rig.deliver()
    rig.world.stubborn = True

    async def race() -> None:
        cancelling = rig.loop.create_task(rig.scheduler.cancel([task], "bob"))
        await _next(rig)
        rig.executor.end(rig.running()[task], 1)
        rig.executor.deliver()
        await cancelling

    rig.run(race())
    rig.settle()
    rig.deliver()
    assert rig.row(task).state == "cancelled"
    rig.advance(1000)
    assert rig.world.launched == [(task, 1)]


async def _next(rig: Rig) -> None:
    """One turn of the loop, in which what was created begins."""
    turn = rig.loop.create_future()
    rig.loop.call_soon(turn.set_result, None)
    await turn


def test_a_cancel_asked_for_is_carried_on_by_the_next_engine(rig: Rig) -> None:
    task = rig.submit_one()
    rig.deliver()
    rig.world.stubborn = True
    rig.cancel(task)
    rig.crash()
    rig.world.stubborn = False
    rig.boot()
    rig.deliver()
    assert rig.state(task) == "cancelled"


def test_what_has_ended_is_not_cancelled(rig: Rig) -> None:
    task = rig.submit_one()
    rig.end(task)
    results = rig.cancel(task, "nowhere1")
    assert str(results[task]) == f"task {task} is completed already; there is nothing to cancel"
    assert str(results["nowhere1"]) == "no task nowhere1"


def test_an_operator_retries_with_more_memory_and_what_was_skipped_waits_again(rig: Rig) -> None:
    first = rig.submit_one(memory_gb=2)
    second = rig.submit_one(after=[first])
    third = rig.submit_one(after=[second])
    rig.end(first, 137)
    assert [rig.state(task) for task in (first, second, third)] == ["failed", "skipped", "skipped"]
    assert rig.retry(first, memory_gb=8) is None
    row = rig.row(first)
    assert (row.state, row.attempt, row.memory_gb, row.error) == ("preparing", 2, 8, None)
    assert [rig.state(task) for task in (second, third)] == ["blocked", "blocked"]
    rig.end(first)
    rig.end(second)
    rig.end(third)
    assert {row.state for row in rig.rows().values()} == {"completed"}


def test_a_skipped_task_can_only_come_back_with_what_it_waits_for(rig: Rig) -> None:
    one, two = rig.submit(2)
    both = rig.submit_one(after=[one, two])
    rig.end(one, 1)
    rig.end(two, 1)
    assert str(rig.retry(both)) == f"task {one} (train) failed: exit code 1; retry that one first"
    rig.retry(one)
    assert rig.state(both) == "skipped"
    rig.retry(two)
    assert rig.state(both) == "blocked"


def test_a_live_task_is_not_retried(rig: Rig) -> None:
    task = rig.submit_one()
    assert str(rig.retry(task)) == f"task {task} is preparing; only one that has ended can be retried"


def test_a_cancelled_task_that_an_operator_retries_runs(rig: Rig) -> None:
    task = rig.submit_one()
    rig.cancel(task)
    rig.deliver()
    rig.retry(task)
    rig.end(task)
    assert (rig.row(task).state, rig.row(task).attempt) == ("completed", 2)


def test_priority_and_ask_of_a_queued_task_can_be_changed(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=2)
    runs = rig.submit_one(cpu=2)
    first, second = rig.submit(2, cpu=2)
    rig.change(second, priority=9)
    rig.end(runs)
    assert list(rig.running()) == [second]
    rig.change(first, cpu=1)
    with pytest.raises(Refused, match="it has 2"):
        rig.change(first, cpu=3)
    with pytest.raises(Refused, match="only one that has not started"):
        rig.change(second, priority=1)


def test_a_claim_loses_to_a_change_of_the_ask(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=2)
    runs = rig.submit_one(cpu=2)
    waits = rig.submit_one(cpu=1)

    async def race() -> None:
        change = rig.loop.create_task(rig.scheduler.change(waits, _more_cpu()))
        await _next(rig)
        rig.executor.end(rig.running()[runs], 0)
        rig.executor.deliver()
        await change

    rig.run(race())
    rig.settle()
    assert rig.row(waits).cpu == 2
    assert list(rig.running()) == [waits]
    assert rig.scheduler.board.capacity.free_cpu == 0


def _more_cpu() -> Any:
    from engine.protocol.tasks import TaskChange

    return TaskChange(cpu=2)


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


def test_an_attempt_that_is_lost_is_given_back_and_says_so(rig: Rig) -> None:
    task = rig.submit_one()
    rig.deliver()
    rig.end(task, lost="the machine was restarted")
    row = rig.row(task)
    assert (row.state, row.attempt, row.retry_count) == ("preparing", 2, 0)
    assert rig.query("SELECT outcome, error FROM attempts WHERE number = 1") == [
        ("interrupted", "interrupted: the machine was restarted")
    ]


def test_an_attempt_that_is_lost_again_and_again_fails(rig: Rig) -> None:
    task = rig.submit_one()
    for _ in range(6):
        rig.deliver()
        rig.end(task, lost="the machine was restarted")
    assert (rig.row(task).state, rig.row(task).error) == ("failed", "interrupted: the machine was restarted")
    assert rig.row(task).attempt == 6


def test_after_a_power_cut_running_tasks_are_given_back(rig: Rig) -> None:
    task = rig.submit_one()
    rig.deliver()
    rig.advance(1)
    rig.crash()
    rig.world.power_cut()
    rig.boot()
    rig.settle()
    assert (rig.row(task).attempt, rig.state(task)) == (2, "preparing")


def test_a_claim_whose_start_was_never_made_starts_under_the_same_attempt(rig: Rig) -> None:
    rig.executor.gone = True
    (task,) = rig.submit()
    rig.crash()
    assert rig.world.launched == []
    rig.boot()
    assert rig.world.launched == [(task, 1)]


def test_an_end_that_came_while_no_engine_ran_counts(rig: Rig) -> None:
    task = rig.submit_one()
    rig.deliver()
    rig.crash()
    rig.executor.end(rig.running()[task], 0)
    rig.boot()
    rig.deliver()
    assert rig.state(task) == "completed"
    assert rig.world.ended == {}


def test_a_drain_waits_for_what_runs_and_starts_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=1)
    runs, waits = rig.submit(2)
    rig.deliver()

    async def drain() -> None:
        stopping = rig.loop.create_task(rig.scheduler.stop("drain"))
        await _next(rig)
        assert not stopping.done()
        rig.executor.end(rig.running()[runs], 0)
        rig.executor.deliver()
        await stopping

    rig.run(drain())
    rig.crash()
    rig.boot()
    assert (rig.state(runs), rig.state(waits)) == ("completed", "preparing")


def test_a_retry_goes_on_waiting_over_a_restart(make_rig: MakeRig) -> None:
    rig = make_rig(retry_base_s=100)
    task = rig.submit_one(max_retries=1)
    rig.end(task, 1)
    rig.stop()
    rig.boot()
    rig.advance(80)
    assert rig.row(task).attempt == 1
    rig.advance(40)
    assert rig.row(task).attempt == 2


def test_a_task_that_a_smaller_machine_can_never_run_waits_and_says_so_and_blocks_nobody(make_rig: MakeRig) -> None:
    rig = make_rig(cpu=4, reserve_after_s=0)
    rig.run(rig.scheduler.pause(None, None))
    large = rig.submit_one(cpu=4)
    small = rig.submit_one()
    rig.stop()
    rig.machine = type(rig.machine)(2, 8)
    rig.boot()
    rig.run(rig.scheduler.resume(None))
    rig.settle()
    assert list(rig.running()) == [small]
    assert rig.scheduler.explain(large) == "this machine can never give 4 cores (it has 2)"


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
