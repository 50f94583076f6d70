"""The tasks that could start, in order, and which of them may start now.

Tasks that ask for the same, in the same group and on the same executor, stand in one lane: if the first of a lane
does not fit, none behind it does. What a claim costs depends on the number of lanes, not of tasks.
"""

from collections import Counter
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from engine.scheduler.capacity import Ask, Capacity
from engine.scheduler.groups import Groups
from engine.scheduler.reservation import Reservation

SWEEP_AFTER = 1000
"""Entries taken out of the queue whose places in the heaps may be left behind."""


class Lane(NamedTuple):
    """What decides, beside its place in the order, whether a task can start."""

    ask: Ask
    group: str | None
    executor: str


class Entry(NamedTuple):
    """A task that could start. The lowest (`order_key`, `seq`) is first.

    `order_key` is `queued_at - priority * ageing_s`: waiting counts like priority, and the order never has to be
    worked out again as time passes.
    """

    order_key: float
    seq: int
    id: str
    attempt: int
    lane: Lane


class Pick(NamedTuple):
    entry: Entry
    gpu_ids: tuple[int, ...]


class ReadyQueue:
    """`executors` are the names of those that are here; tasks for another one wait."""

    def __init__(self, executors: Iterable[str], reservation: Reservation) -> None:
        self.reservation = reservation
        self._executors = frozenset(executors)
        self._known: dict[str, Entry] = {}
        self._lanes: dict[Lane, list[Entry]] = {}
        self._names: dict[Lane, Lane] = {}
        self._later: list[tuple[float, Entry]] = []
        self._in_group: Counter[str] = Counter()
        self._changes = 0
        self._left_behind = 0
        self._looked_at: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._known

    def get(self, task_id: str) -> Entry | None:
        return self._known.get(task_id)

    def due(self, task_id: str) -> float | None:
        """When a task that waits for its time may start. Looks at all that do: for a person's question."""
        entry = self._known.get(task_id)
        return next((due for due, later in self._later if later is entry), None)

    def has_executor(self, name: str) -> bool:
        return name in self._executors

    def queued_in(self) -> Counter[str]:
        """How many tasks are queued in each group. To be read only."""
        return self._in_group

    def lane(self, ask: Ask, group: str | None, executor: str) -> Lane:
        """The one object for a lane that is in use: 100,000 tasks of a lane share it."""
        lane = Lane(ask, group, executor)
        return self._names.setdefault(lane, lane)

    def add(self, entry: Entry, not_before: float | None = None) -> None:
        """Queue a task, from `not_before` on if that is given. One that is queued already is replaced."""
        known = self._known.get(entry.id)
        if known is not None:
            self._count(known, -1)
            self._left_behind += 1
        self._known[entry.id] = entry
        self._count(entry, 1)
        self._changes += 1
        if not_before is not None:
            heappush(self._later, (not_before, entry))
        else:
            heappush(self._lanes.setdefault(entry.lane, []), entry)

    def load(self, entries: Iterable[Entry]) -> None:
        """Queue many at once, at the cost of one pass."""
        touched = set()
        self._changes += 1
        for entry in entries:
            self._known[entry.id] = entry
            self._count(entry, 1)
            self._lanes.setdefault(entry.lane, []).append(entry)
            touched.add(entry.lane)
        for lane in touched:
            heapify(self._lanes[lane])

    def remove(self, task_id: str) -> Entry | None:
        """Take a task out of the queue; None if it is not in it. Its place in the heap is swept up later."""
        self.reservation.drop(task_id)
        entry = self._known.pop(task_id, None)
        if entry is not None:
            self._count(entry, -1)
            self._changes += 1
            self._left_behind += 1
            if self._left_behind > SWEEP_AFTER and self._left_behind > len(self._known):
                self._sweep()
        return entry

    def next_due(self) -> float | None:
        """When the next task that waits for its time is due."""
        later = self._later
        while later and self._known.get(later[0][1].id) is not later[0][1]:
            heappop(later)
        return later[0][0] if later else None

    def ripen(self, now: float) -> None:
        """Let in the tasks whose time has come."""
        while (due := self.next_due()) is not None and due <= now:
            _, entry = heappop(self._later)
            self._changes += 1
            heappush(self._lanes.setdefault(entry.lane, []), entry)

    def pick(self, capacity: Capacity, groups: Groups, now: float) -> list[Pick]:
        """Take the tasks that may start now out of the queue, in order, and hold what they ask for."""
        self.ripen(now)
        if self._looked_at == (self._changes, capacity.changes, groups.changes):
            return []
        picks: list[Pick] = []
        heads = [head for lane in list(self._lanes) if (head := self._head(lane)) and lane.executor in self._executors]
        heapify(heads)
        reservation = self.reservation
        first_unfit = None
        while heads:
            entry = heads[0]
            lane = entry.lane
            if not groups.has_room(lane.group):
                heappop(heads)
                continue
            if not capacity.fits(lane.ask):
                heappop(heads)
                if first_unfit is None and capacity.could_ever(lane.ask):
                    first_unfit = entry
                    reservation.consider(entry.id, lane.ask, now)
                continue
            if first_unfit is not None and not reservation.lets_pass(lane.ask, capacity.machine):
                heappop(heads)
                continue
            picks.append(Pick(entry, capacity.take(entry.id, lane.ask)))
            groups.enter(lane.group)
            reservation.started(entry.id, lane.ask)
            del self._known[entry.id]
            self._count(entry, -1)
            heappop(self._lanes[lane])
            heappop(heads)
            if (head := self._head(lane)) is not None:
                heappush(heads, head)
        if first_unfit is None:
            reservation.clear()
        self._looked_at = self._changes, capacity.changes, groups.changes
        return picks

    def _sweep(self) -> None:
        """Many were taken out: their places in the heaps go too."""
        known = self._known
        for lane in list(self._lanes):
            self._lanes[lane] = [entry for entry in self._lanes[lane] if known.get(entry.id) is entry]
            heapify(self._lanes[lane])
        self._later = [later for later in self._later if known.get(later[1].id) is later[1]]
        heapify(self._later)
        self._left_behind = 0

    def _count(self, entry: Entry, by: int) -> None:
        group = entry.lane.group
        if group is not None:
            self._in_group[group] += by
            if not self._in_group[group]:
                del self._in_group[group]

    def _head(self, lane: Lane) -> Entry | None:
        """The first of a lane; entries that were taken out or replaced are swept up on the way."""
        heap = self._lanes[lane]
        while heap and self._known.get(heap[0].id) is not heap[0]:
            heappop(heap)
        if heap:
            return heap[0]
        del self._lanes[lane]
        self._names.pop(lane, None)
        return None
