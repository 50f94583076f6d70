"""What the machine has, and which task holds what of it. GPU ids are given out lowest first."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLOTS = 512
"""Attempts that may be live at once. Tasks that ask for nothing would otherwise all start together."""


class Ask(NamedTuple):
    """What a task asks for: cores, memory in GB, GPUs."""

    cpu: int
    memory_gb: int
    gpu: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What tasks may take: cores, memory in GB, GPU ids."""

    cpu: int
    memory_gb: int
    gpu_ids: tuple[int, ...] = ()


class Holding(NamedTuple):
    ask: Ask
    gpu_ids: tuple[int, ...]


class Lack(NamedTuple):
    """One thing that an ask is short of: `field` as `SubmitTask` names it."""

    field: str
    wanted: int
    there: int
    unit: str

    def __str__(self) -> str:
        return f"{self.wanted} {self.unit}"


class Capacity:
    """Derived from the live attempts: `take` and `release` follow them, nothing else is counted."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.free_cpu = machine.cpu
        self.free_memory_gb = machine.memory_gb
        self.free_gpus = sorted(machine.gpu_ids)
        self.changes = 0
        """Counts what was taken and released."""
        self._held: dict[str, Holding] = {}

    @property
    def held(self) -> dict[str, Holding]:
        """Who holds what, by task id. To be read only."""
        return self._held

    def fits(self, ask: Ask) -> bool:
        return (
            ask.cpu <= self.free_cpu
            and ask.memory_gb <= self.free_memory_gb
            and ask.gpu <= len(self.free_gpus)
            and len(self._held) < SLOTS
        )

    def could_ever(self, ask: Ask) -> bool:
        """Whether `ask` would fit if nothing ran. Settings may have shrunk since a task was queued."""
        machine = self.machine
        return ask.cpu <= machine.cpu and ask.memory_gb <= machine.memory_gb and ask.gpu <= len(machine.gpu_ids)

    def take(self, task_id: str, ask: Ask) -> tuple[int, ...]:
        """Hold `ask` for a task that fits; the GPU ids that it got."""
        gpu_ids = tuple(self.free_gpus[: ask.gpu])
        self.hold(task_id, ask, gpu_ids)
        return gpu_ids

    def hold(self, task_id: str, ask: Ask, gpu_ids: Sequence[int]) -> None:
        """Note what a task holds already. After a change of settings it may be more than there is."""
        if task_id in self._held:
            raise ValueError(f"task {task_id} holds its ask already")
        self.changes += 1
        self._held[task_id] = Holding(ask, tuple(gpu_ids))
        self.free_cpu -= ask.cpu
        self.free_memory_gb -= ask.memory_gb
        for gpu_id in gpu_ids:
            if gpu_id in self.free_gpus:
                self.free_gpus.remove(gpu_id)

    def release(self, task_id: str) -> None:
        held = self._held.pop(task_id, None)
        if held is None:
            return
        self.changes += 1
        self.free_cpu += held.ask.cpu
        self.free_memory_gb += held.ask.memory_gb
        for gpu_id in held.gpu_ids:
            if gpu_id in self.machine.gpu_ids:
                insort(self.free_gpus, gpu_id)

    def beyond(self, ask: Ask) -> list[Lack]:
        """What of `ask` this machine could not give even when nothing runs."""
        return _lacks(ask, self.machine.cpu, self.machine.memory_gb, len(self.machine.gpu_ids))

    def why_never(self, ask: Ask) -> str | None:
        """Why this machine can never run `ask`, with what is there; None when it can."""
        lacks = self.beyond(ask)
        if not lacks:
            return None
        return "this machine can never give " + " and ".join(f"{lack} (it has {lack.there})" for lack in lacks)

    def why_not_now(self, ask: Ask) -> str | None:
        """What `ask` waits for, with what is free; None when it fits."""
        lacks = _lacks(ask, self.free_cpu, self.free_memory_gb, len(self.free_gpus))
        if lacks:
            return "waits for " + " and ".join(f"{lack} ({max(lack.there, 0)} free)" for lack in lacks)
        if len(self._held) >= SLOTS:
            return f"waits for one of the {SLOTS} tasks that run at once to end"
        return None


def _lacks(ask: Ask, cpu: int, memory_gb: int, gpus: int) -> list[Lack]:
    found = []
    if ask.cpu > cpu:
        found.append(Lack("cpu", ask.cpu, cpu, "core" if ask.cpu == 1 else "cores"))
    if ask.memory_gb > memory_gb:
        found.append(Lack("memory_gb", ask.memory_gb, memory_gb, "GB of memory"))
    if ask.gpu > gpus:
        found.append(Lack("gpu", ask.gpu, gpus, "GPU" if ask.gpu == 1 else "GPUs"))
    return found
