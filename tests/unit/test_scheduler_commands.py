"""What ends a task or brings it back: dependencies, retries, timeouts, cancels, changes by an operator."""

from typing import Any

import pytest

from engine.scheduler.refusals import Refused
from tests.unit.scheduler_rig import MakeRig, Rig, next_write


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
        await next_write(rig)
        rig.executor.end(rig.running()[task], 1)
        rig.executor.deliver()
        await cancelling

    rig.run(race())
    rig.settle()
    rig.deliver()
    assert rig.row(task).state == "cancelled"
    rig.advance(1000)
    assert rig.world.launched == [(task, 1)]


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
        await next_write(rig)
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
