"""The ready queue against a model that looks at every task each time."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.scheduler.capacity import Ask, Capacity, Machine
from engine.scheduler.groups import Groups
from engine.scheduler.ready import Entry, Lane, ReadyQueue
from engine.scheduler.reservation import Reservation

MACHINE = Machine(4, 8, (0, 1))


@dataclass
class Model:
    """Every queued task in one list."""

    tasks: list[tuple[Entry, float | None]] = field(default_factory=list)

    def pick(self, capacity: Capacity, groups: Groups, now: float) -> list[str]:
        """Goes through all of them in order, for as long as one starts. Without reservations."""
        picked: list[str] = []
        for entry, not_before in sorted(self.tasks):
            if not_before is not None and not_before > now:
                continue
            lane = entry.lane
            if lane.executor == "process" and groups.has_room(lane.group) and capacity.fits(lane.ask):
                capacity.take(entry.id, lane.ask)
                groups.enter(lane.group)
                picked.append(entry.id)
        self.tasks = [task for task in self.tasks if task[0].id not in picked]
        return picked


def queue(reserve_after_s: float = 1e9) -> ReadyQueue:
    return ReadyQueue({"process"}, Reservation(reserve_after_s))


tasks = st.tuples(
    st.integers(-50, 50),
    st.integers(0, 5),
    st.integers(0, 9),
    st.integers(0, 3),
    st.sampled_from([None, "sweep"]),
    st.sampled_from(["process", "process", "ray"]),
    st.sampled_from([None, None, 5.0, 20.0]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(tasks, max_size=6)),
        st.tuples(st.just("remove"), st.integers(0, 1000)),
        st.tuples(st.just("release"), st.integers(0, 1000)),
        st.tuples(st.just("change"), st.tuples(st.integers(0, 1000), tasks)),
        st.tuples(st.just("pick"), st.integers(0, 8)),
    ),
    max_size=40,
)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_it_starts_what_the_model_starts_and_in_that_order(script: list[tuple[str, Any]]) -> None:
    ready, model = queue(), Model()
    ours, theirs = Capacity(MACHINE), Capacity(MACHINE)
    our_groups, their_groups = Groups(), Groups()
    for groups in (our_groups, their_groups):
        groups.set_limits({"sweep": 1})
    entries: dict[str, Entry] = {}
    seq = 0
    now = 0.0

    def entry_of(number: int, wish: tuple[int, int, int, int, str | None, str, float | None]) -> Entry:
        key, cpu, memory, gpu, group, executor, _ = wish
        return Entry(float(key), number, f"t{number}", 0, ready.lane(Ask(cpu, memory, gpu), group, executor))

    for verb, what in script:
        if verb == "add":
            for wish in what:
                seq += 1
                entry = entry_of(seq, wish)
                entries[entry.id] = entry
                ready.add(entry, wish[6])
                model.tasks.append((entry, wish[6]))
        elif verb == "remove" and model.tasks:
            gone = model.tasks.pop(what % len(model.tasks))[0]
            assert ready.remove(gone.id) is not None
        elif verb == "change" and model.tasks:
            pick, wish = what
            old = model.tasks.pop(pick % len(model.tasks))[0]
            new = entry_of(old.seq, wish)._replace(id=old.id)
            entries[new.id] = new
            ready.add(new)
            model.tasks.append((new, None))
        elif verb == "release" and ours.held:
            task_id = sorted(ours.held)[what % len(ours.held)]
            for capacity, groups in ((ours, our_groups), (theirs, their_groups)):
                capacity.release(task_id)
                groups.leave(entries[task_id].lane.group)
        elif verb == "pick":
            now += what
            picked = [pick.entry.id for pick in ready.pick(ours, our_groups, now)]
            assert picked == model.pick(theirs, their_groups, now)
            assert ours.held == theirs.held
        assert len(ready) == len(model.tasks)
        in_groups = [entry.lane.group for entry, _ in model.tasks if entry.lane.group]
        assert ready.queued_in().total() == len(in_groups)


@given(
    ask=st.builds(Ask, st.integers(3, 4), st.integers(0, 8), st.integers(0, 2)),
    small=st.lists(st.builds(Ask, st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=6),
    ends=st.lists(st.integers(0, 1000), min_size=60, max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_a_large_task_waits_no_longer_than_what_ran_when_it_earned_its_reservation(
    ask: Ask, small: list[Ask], ends: list[int]
) -> None:
    """Small tasks come without end. Those that started after the reservation may run for ever."""
    ready, capacity, groups = queue(reserve_after_s=10), Capacity(MACHINE), Groups()
    seq = 0

    def flood() -> None:
        nonlocal seq
        for one in small:
            seq += 1
            ready.add(Entry(float(seq), seq, f"s{seq}", 0, ready.lane(one, None, "process")))

    flood()
    ready.pick(capacity, groups, 0)
    ready.add(Entry(0.0, 0, "large", 0, ready.lane(ask, None, "process")))
    flood()
    ready.pick(capacity, groups, 1)
    flood()
    ready.pick(capacity, groups, 12)
    before = [task_id for task_id in capacity.held if task_id != "large"]
    for end in ends:
        if "large" in capacity.held:
            return
        assert before, "all that ran at the reservation has ended, and the large task still waits"
        task_id = before.pop(end % len(before))
        capacity.release(task_id)
        ready.reservation.ended(task_id)
        flood()
        ready.pick(capacity, groups, 13)
    assert "large" in capacity.held


def test_a_claim_costs_the_same_in_a_long_queue() -> None:
    """What is looked at is the lanes: a queue of 20,000 in three lanes touches no more than one of 20."""

    def touched(length: int) -> int:
        ready, capacity, groups = queue(), Capacity(Machine(1, 0)), Groups()
        lanes = [ready.lane(Ask(1, 0, 0), group, "process") for group in (None, "a", "b")]
        ready.load(Entry(float(n), n, str(n), 0, lanes[n % 3]) for n in range(length))
        looks = 0
        head = ready._head

        def counted(lane: Lane) -> Entry | None:
            nonlocal looks
            looks += 1
            return head(lane)

        ready._head = counted  # type: ignore[method-assign]
        for _ in range(5):
            (pick,) = ready.pick(capacity, groups, 0)
            capacity.release(pick.entry.id)
        return looks

    assert touched(20_000) == touched(20)


def test_what_was_taken_out_leaves_nothing_behind() -> None:
    ready, capacity, groups = queue(), Capacity(Machine(0, 0)), Groups()
    lane = ready.lane(Ask(1, 0, 0), None, "process")
    for n in range(5000):
        ready.add(Entry(float(n), n, str(n), 0, lane), None if n % 2 else 100.0)
    for n in range(1, 5000):
        ready.remove(str(n))
    assert sum(len(heap) for heap in ready._lanes.values()) + len(ready._later) < 1100
    capacity = Capacity(Machine(1, 0))
    assert [pick.entry.id for pick in ready.pick(capacity, groups, 200.0)] == ["0"]
