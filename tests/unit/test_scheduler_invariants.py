"""The scheduler under random lives, and schedulers that are broken on purpose: the invariants must bite."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from engine.protocol.states import TaskState
from engine.scheduler import cycle
from engine.scheduler.attempts import Attempts
from engine.scheduler.board import Board
from engine.scheduler.capacity import Ask, Capacity
from engine.scheduler.dependents import Dependents
from engine.scheduler.ready import ReadyQueue
from tests.unit.scheduler_machine import SchedulerMachine

LIVES = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
# What hypothesis draws depends on which modules are loaded, so a broken one gets many lives to be found out in.
BROKEN = settings(
    LIVES, max_examples=1000, stateful_step_count=100, phases=[Phase.generate], derandomize=True, database=None
)


def test_the_invariants_hold() -> None:
    run_state_machine_as_test(SchedulerMachine, settings=LIVES)


def _bites(words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        run_state_machine_as_test(SchedulerMachine, settings=BROKEN)


def test_they_see_a_retry_that_ignores_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = cycle._leave

    def unfenced(*args: Any, unless_cancelled: bool = False) -> bool:
        return leave(*args, unless_cancelled=False)

    monkeypatch.setattr(cycle, "_leave", unfenced)
    _bites("a cancelled task")


def test_they_see_a_gpu_given_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Capacity, task_id: str, ask: Ask) -> tuple[int, ...]:
        gpu_ids = self.machine.gpu_ids[: ask.gpu]
        self.hold(task_id, ask, gpu_ids)
        return gpu_ids

    monkeypatch.setattr(Capacity, "take", take)
    _bites("GPU|gpu")


def test_they_see_room_that_is_not_given_back_when_a_claim_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Board, "give_back", lambda self, entry: None)
    _bites("room is held|nothing is to come")


def test_they_see_that_a_dependents_wait_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dependents, "completed", lambda self, tx, task_id: [])
    _bites("still blocked|nothing is to come")


def test_they_see_a_queue_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    add = ReadyQueue.add

    def backwards(self: ReadyQueue, entry: Any, not_before: float | None = None) -> None:
        add(self, entry._replace(order_key=-entry.order_key), not_before)

    monkeypatch.setattr(ReadyQueue, "add", backwards)
    _bites("overtaken")


def test_they_see_an_attempt_that_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes what it finds preparing as never started, under a new attempt's number or the old."""
    resume = Attempts.resume

    def restless(self: Attempts, live: Any, *, known: bool) -> None:
        if live.state is TaskState.PREPARING and known:
            self._executors[live.executor].world.ended.pop(live.key, None)  # type: ignore[attr-defined]
            self._executors[live.executor].world.running.pop(live.key, None)  # type: ignore[attr-defined]
            known = False
        resume(self, live, known=known)

    monkeypatch.setattr(Attempts, "resume", restless)
    _bites("started twice")
