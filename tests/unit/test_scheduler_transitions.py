"""The table of moves itself, retries' delays, and who is told what about capacity."""

from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol.states import ENDED, LIVE, TaskState
from engine.scheduler.capacity import Ask, Capacity, Machine
from engine.scheduler.retries import delay
from engine.scheduler.transitions import LEGAL, LEGAL_BY_RETRY, RANKS, IllegalMove, check


def test_every_state_is_in_the_table_and_has_a_rank() -> None:
    assert set(LEGAL) == set(TaskState)
    assert set(RANKS) == set(TaskState)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_has_ended_stays_ended_but_for_an_operators_retry(state: TaskState) -> None:
    assert LEGAL[state] == frozenset()
    assert LEGAL_BY_RETRY[state] == {TaskState.QUEUED, TaskState.BLOCKED}


def test_only_a_queued_task_is_claimed_and_every_task_can_be_cancelled() -> None:
    assert [state for state in TaskState if TaskState.PREPARING in LEGAL[state]] == [TaskState.QUEUED]
    assert {state for state in TaskState if TaskState.CANCELLED in LEGAL[state]} == set(TaskState) - ENDED


def test_a_live_task_never_goes_back_to_waiting_for_others() -> None:
    assert not any(TaskState.BLOCKED in LEGAL[state] for state in LIVE)


@pytest.mark.parametrize(("source", "target"), list(product(TaskState, TaskState)))
def test_a_move_that_is_not_in_the_table_is_an_error(source: TaskState, target: TaskState) -> None:
    if target in LEGAL[source]:
        check(source, target)
    else:
        with pytest.raises(IllegalMove, match=f"from {source} to {target}"):
            check(source, target)


def test_a_move_through_another_state_needs_both_steps() -> None:
    check(TaskState.PREPARING, TaskState.COMPLETED, through=TaskState.RUNNING)
    with pytest.raises(IllegalMove):
        check(TaskState.PREPARING, TaskState.BLOCKED, through=TaskState.RUNNING)


@given(st.integers(1, 100), st.integers(0, 2**32))
def test_retries_wait_twice_as_long_each_time_within_a_tenth_up_to_the_cap(retry: int, seed: int) -> None:
    whole = min(600.0, 2.0 ** (retry - 1))
    assert 0.9 * whole <= delay(retry, 1.0, 600.0, Random(seed)) <= 1.1 * whole


def test_an_ask_that_can_never_be_met_says_what_is_there() -> None:
    capacity = Capacity(Machine(4, 16, (0,)))
    assert capacity.why_never(Ask(4, 16, 1)) is None
    assert (
        capacity.why_never(Ask(1, 32, 2))
        == "this machine can never give 32 GB of memory (it has 16) and 2 GPUs (it has 1)"
    )
    assert [lack.field for lack in capacity.beyond(Ask(5, 32, 2))] == ["cpu", "memory_gb", "gpu"]


def test_a_gpu_that_settings_took_away_is_not_given_out_again() -> None:
    capacity = Capacity(Machine(4, 16, (0, 1)))
    capacity.hold("old", Ask(1, 0, 2), (1, 7))
    assert capacity.free_gpus == [0]
    capacity.release("old")
    assert capacity.free_gpus == [0, 1]
