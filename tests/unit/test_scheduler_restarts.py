"""What a lost attempt, a restart or a drain makes of tasks."""

from tests.unit.scheduler_rig import MakeRig, Rig, next_write


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
        await next_write(rig)
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
