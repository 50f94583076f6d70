"""An executor whose processes are entries in a dictionary. They outlive the engine, as real ones do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.executors.base import AttemptKey, Ended, Launch, OnReports, Report, Started


class Timer:
    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self._call: Callable[[], None] | None = call

    @property
    def pending(self) -> bool:
        return self._call is not None

    def cancel(self) -> None:
        self._call = None

    def fire(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


class VirtualClock:
    """A clock that stands until it is moved on, with the timers that hang on it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._timers: list[Timer] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.now + delay, call)
        self._timers.append(timer)
        return timer

    def next_timer(self) -> float | None:
        """When the earliest timer is due; None when the engine waits for nothing."""
        self._timers = [timer for timer in self._timers if timer.pending]
        return min((timer.due for timer in self._timers), default=None)

    def ring(self) -> None:
        """Call the timers that are due."""
        due = [timer for timer in self._timers if timer.due <= self.now]
        self._timers = [timer for timer in self._timers if timer.due > self.now]
        for timer in sorted(due, key=lambda timer: timer.due):
            timer.fire()

    def forget_timers(self) -> None:
        """The engine that set them is gone."""
        self._timers.clear()


@dataclass
class World:
    """What goes on outside of the engine: what runs, and the ends that nobody has said he knows."""

    running: dict[AttemptKey, Launch] = field(default_factory=dict)
    ended: dict[AttemptKey, Ended] = field(default_factory=dict)
    launched: list[AttemptKey] = field(default_factory=list)
    """Every process that was ever started, in order."""
    environments: dict[AttemptKey, dict[str, str]] = field(default_factory=dict)
    stubborn: bool = False
    """A cancelled process takes its time: it ends only when `end` is called."""
    cancels: list[AttemptKey] = field(default_factory=list)

    def power_cut(self) -> None:
        """Nothing runs any more and nobody knows how it ended."""
        self.running.clear()
        self.ended.clear()


class FakeExecutor:
    """Reports wait in `outbox` until `deliver`: the test says when the engine hears of things."""

    name = "process"
    gone = False
    """The engine is killed now: what it would have started or ended from here on does not happen."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self.world = world
        self.outbox: list[Report] = []
        self._clock = clock
        self._on_reports: OnReports | None = None

    async def open(self, on_reports: OnReports) -> None:
        self._on_reports = on_reports

    async def adopt(self, expected: Sequence[AttemptKey]) -> set[AttemptKey]:
        for stray in set(self.world.running) - set(expected):
            del self.world.running[stray]
        for key in expected:
            if key in self.world.running:
                self.outbox.append(Started(key, 4000 + key.attempt, self._clock()))
            elif key in self.world.ended:
                self.outbox.append(self.world.ended[key])
        return {key for key in expected if key in self.world.running or key in self.world.ended}

    def launch(self, launches: Sequence[Launch]) -> None:
        for launch in launches if not self.gone else ():
            if launch.key in self.world.running or launch.key in self.world.ended:
                continue
            self.world.launched.append(launch.key)
            self.world.environments[launch.key] = dict(launch.environment)
            if "no-such-program" in launch.command:
                self.world.ended[launch.key] = Ended(launch.key, self._clock(), refused="no such program")
                self.outbox.append(self.world.ended[launch.key])
                continue
            self.world.running[launch.key] = launch
            self.outbox.append(Started(launch.key, 4000 + launch.key.attempt, self._clock()))

    def cancel(self, key: AttemptKey, grace_s: float) -> None:
        if self.gone:
            return
        self.world.cancels.append(key)
        if key in self.world.running and not self.world.stubborn:
            self.end(key, signal=15)
        elif key not in self.world.running and key not in self.world.ended:
            self.outbox.append(Ended(key, self._clock(), lost="it is not known here"))

    def forget(self, keys: Sequence[AttemptKey]) -> None:
        for key in keys if not self.gone else ():
            self.world.ended.pop(key, None)

    async def close(self) -> None:
        self._on_reports = None

    def end(
        self,
        key: AttemptKey,
        exit_code: int | None = None,
        signal: int | None = None,
        lost: str | None = None,
        *,
        no_room: bool = False,
    ) -> None:
        """A process ends; the engine hears of it with the next `deliver`."""
        del self.world.running[key]
        self.world.ended[key] = Ended(key, self._clock(), exit_code, signal, lost, no_room=no_room)
        self.outbox.append(self.world.ended[key])

    def deliver(self) -> None:
        """Tell the engine all that it has not heard yet, at once."""
        reports, self.outbox = self.outbox, []
        if reports and self._on_reports is not None:
            self._on_reports(reports)
