"""What the scheduler holds in memory: all of it can be read from the store again."""

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.scheduler.attempt import Live
from engine.scheduler.capacity import Capacity
from engine.scheduler.dependents import Dependents
from engine.scheduler.groups import Groups
from engine.scheduler.ready import Entry, ReadyQueue


class Pause(NamedTuple):
    """Who paused the queue, when (seconds since the epoch) and why."""

    by: str | None
    at: float
    reason: str | None


@dataclass(slots=True)
class Board:
    capacity: Capacity
    ready: ReadyQueue
    dependents: Dependents
    groups: Groups = field(default_factory=Groups)
    live: dict[str, Live] = field(default_factory=dict)
    pause: Pause | None = None
    disk_free_mb: int | None = None
    """Set while too little is free to start anything."""
    stopping: bool = False
    """Nothing further starts."""
    leaving: bool = False
    """What runs is left to the next engine."""
    newest: int = 0
    """The highest `seq` given to a task."""

    def release(self, task_id: str, group: str | None) -> None:
        """The task holds nothing any more."""
        self.capacity.release(task_id)
        self.groups.leave(group)
        self.ready.reservation.ended(task_id)

    def give_back(self, entry: Entry) -> None:
        """What was picked is not to start after all."""
        self.release(entry.id, entry.lane.group)
