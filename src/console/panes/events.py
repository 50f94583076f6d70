"""Events: what happened at the engine, the newest last."""

from collections.abc import Callable, Sequence

from console.formats import Tone, clock, mark_of, money
from console.mirror import Mirror
from console.panes.base import Recaptioned
from console.rows import EventRow, build
from console.themes import Palette
from console.widgets.ink import Run
from console.widgets.sheet import Sheet

EMPTY = (
    "Nothing has happened yet.",
    "Here will stand each step of every task, pauses of the queue,",
    "what was kept and what was spent, as it happens.",
)


BEFORE = 200


class EventsPane(Sheet):
    """The tail of the engine's events, as far as the mirror holds it."""

    def __init__(self, mirror: Mirror, *, palette: Palette, ascii_only: bool) -> None:
        super().__init__(id="events", palette=palette, ascii_only=ascii_only, tail=True)
        self._mirror = mirror
        self._unwatch: Callable[[], None] | None = None
        self._older: list[EventRow] = []

    def on_mount(self) -> None:
        self._unwatch = self._mirror.watch("events", self._happened)
        self.run_worker(self._read_older())

    def on_unmount(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    def count(self) -> int:
        return len(self._older) + len(self._mirror.events) or len(EMPTY)

    def line(self, index: int) -> Sequence[Run]:
        if not self._older and not self._mirror.events:
            return [Run(f"  {EMPTY[index]}", Tone.DIM)]
        older = len(self._older)
        return event_line(self._older[index] if index < older else self._mirror.events[index - older])

    def caption(self) -> tuple[list[Run], list[Run]]:
        many = len(self._older) + len(self._mirror.events)
        return ([Run(f"{many:,}", Tone.DIM)] if many else []), []

    async def _read_older(self) -> None:
        """What happened shortly before the console was opened."""
        mirror = self._mirror
        newest = mirror.events[0].seq - 1 if mirror.events else mirror.tasks.seq
        answer = await mirror.get("/v1/events", since=max(0, newest - BEFORE), limit=BEFORE)
        if answer.ok:
            rows = [build(EventRow, one) for one in answer.value["rows"]]
            first = mirror.events[0].seq if mirror.events else None
            self._older = [row for row in rows if first is None or row.seq < first]
            self._happened()

    def _happened(self) -> None:
        self.reread()
        self.post_message(Recaptioned())


def event_line(event: EventRow) -> list[Run]:
    """`14:03:12  task.running  7fk2q1ab  sweep-lr-003  attempt 1`: loud only where it wants a person."""
    topic, _, what = event.kind.partition(".")
    tone = mark_of(what).tone if topic in {"task", "job", "phase"} else Tone.TEXT
    data = event.data
    words = [str(data["job_name"])] if data.get("job_name") else []
    if what == "failed":
        words.append(str(data.get("error") or f"exit {data.get('exit_code')}"))
    elif data.get("attempt", 0) and what in {"running", "preparing"}:
        words.append(f"attempt {data['attempt']}")
    words += [str(data[name]) for name in ("path", "name", "reason") if data.get(name) is not None]
    words += [f"{name} {data[name]}" for name in ("group", "limit") if data.get(name) is not None]
    if "cost" in data:
        words.append(money(data["cost"]))
    return [
        Run(f"{clock(event.at)}  ", Tone.DIM),
        Run(f"{event.kind:<16}  ", tone),
        Run(f"{event.subject:<8.8}  ", Tone.DIM),
        Run("  ".join(words)),
    ]
