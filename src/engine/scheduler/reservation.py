"""How a task that needs much of the machine comes to its turn under a flood of small ones.

The first task in the order that does not fit is passed by what does. Once it has been first for `reserve_after_s`
it holds a reservation: a task may pass it only if the reserved one, those that passed since the reservation, and
the passing one fit into the machine together. So it starts at the latest when all that ran at the time of the
reservation has ended.
"""

from engine.scheduler.capacity import Ask, Machine


class Reservation:
    def __init__(self, reserve_after_s: float) -> None:
        self._reserve_after_s = reserve_after_s
        self._first_since: dict[str, float] = {}
        self._passed: dict[str, Ask] = {}
        self._ask: Ask | None = None
        self.holder: str | None = None

    def consider(self, task_id: str, ask: Ask, now: float) -> None:
        """`task_id` is the first in the order that does not fit."""
        since = self._first_since.setdefault(task_id, now)
        if now - since < self._reserve_after_s:
            self._release()
            return
        if self.holder != task_id:
            self._passed.clear()
            self.holder = task_id
        self._ask = ask

    def lets_pass(self, ask: Ask, machine: Machine) -> bool:
        """Whether a task that fits may start before the first one."""
        if self._ask is None:
            return True
        together = (self._ask, ask, *self._passed.values())
        return (
            sum(part.cpu for part in together) <= machine.cpu
            and sum(part.memory_gb for part in together) <= machine.memory_gb
            and sum(part.gpu for part in together) <= len(machine.gpu_ids)
        )

    def started(self, task_id: str, ask: Ask) -> None:
        """A task was started: the reserved one, or one that passed it."""
        self._first_since.pop(task_id, None)
        if task_id == self.holder:
            self._release()
        elif self.holder is not None:
            self._passed[task_id] = ask

    def ended(self, task_id: str) -> None:
        """What the task held is free again."""
        self._passed.pop(task_id, None)

    def drop(self, task_id: str) -> None:
        """The task is no longer in the queue."""
        self._first_since.pop(task_id, None)
        if task_id == self.holder:
            self._release()

    def clear(self) -> None:
        """Nothing waits for room."""
        if self.holder is not None:
            self._release()

    def _release(self) -> None:
        self.holder = None
        self._ask = None
        self._passed.clear()
