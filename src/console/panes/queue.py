"""The queue: every task, in the order in which the engine has them."""

import time
from collections.abc import Iterable
from typing import ClassVar

from console.formats import MARKS, Tone, age, mark_of, status
from console.mirror import Mirror
from console.panes.base import Listing, Recaptioned
from console.rows import TaskRow
from console.situation import Place, Subject
from console.widgets.columns import Cell, Column
from console.widgets.ink import Run
from engine.protocol.states import ENDED, LIVE

EMPTY = """\
The queue is empty.

n                       opens the submit form
:submit python train.py submits a command
shopfloor submit -- CMD does so from any shell"""

NOTHING_MATCHES = """\
Nothing matches the filter.

backspace  clears it
/          changes it; name:sweep-* takes all that begin so"""


UNSEEN = ("started_at", "ended_at", "attempt", "executor")
"""What can be sorted by without a column of its own."""

SHORT = 6
"""Characters of an id that are shown; every command takes a beginning that is unique, and copying takes it whole."""


class QueuePane(Listing[TaskRow]):
    """The tasks, sorted and filtered by the engine; marks for what is done with many at once."""

    places: ClassVar[tuple[Place, ...]] = (Place.QUEUE, Place.LIST)

    def __init__(self, mirror: Mirror, *, ascii_only: bool) -> None:
        super().__init__(mirror.tasks, columns(ascii_only=ascii_only), empty=EMPTY, ascii_only=ascii_only, id="queue")
        self._mirror = mirror
        self._seen: dict[str, Subject] = {}

    def caption(self) -> tuple[list[Run], list[Run]]:
        stats = self._mirror.stats
        left: list[Run] = []
        if stats is not None:
            live = sum(stats.by_state.get(state, 0) for state in LIVE)
            failed = stats.ended_today.get("failed", 0)
            said = [
                Run(f"running {live:,}", Tone.DIM),
                Run(f"queued {stats.queued:,}", Tone.DIM),
                *([Run(f"failed {failed:,} today", Tone.BAD)] if failed else []),
                *([Run("paused", Tone.WANTS)] if stats.paused else []),
            ]
            left = [run for pair in zip([Run(" · ", Tone.RULE)] * len(said), said, strict=True) for run in pair][1:]
        return left, self._caption_right()

    def _caption_right(self) -> list[Run]:
        right: list[Run] = []
        if self.marks:
            right.append(Run(f"{len(self.marks):,} marked ", Tone.ACCENT))
        if self.feed.filter:
            right.append(Run(f"/ {self.feed.filter} ", Tone.ACCENT))
            matching = "when the engine is back " if self._mirror.stale else f"{self.feed.total:,} match "
            right.append(Run(matching, Tone.DIM))
        if (field := self.feed.sort.lstrip("-")) != "order":
            right.append(Run(f"{'▾' if self.feed.sort.startswith('-') else '▴'}{field} ", Tone.DIM))
        return [*right[:-1], right[-1]._replace(text=right[-1].text.rstrip())] if right else []

    def filter_changed(self) -> None:
        self.say_when_empty(NOTHING_MATCHES if self.feed.filter else EMPTY)
        self.post_message(Recaptioned())

    def subject(self) -> Subject | None:
        row = self.cursor_row
        return None if row is None else subject_of(row)

    def marked(self) -> list[Subject]:
        """The marked tasks as last seen, those that are held first, in their order."""
        marks = self.marks
        held = {row.id: subject_of(row) for row in self.feed.rows if row.id in marks}
        away = [subject for one, subject in self._seen.items() if one in marks and one not in held]
        return [*held.values(), *away]

    def remember(self, subjects: Iterable[Subject]) -> None:
        """What is known of tasks that are marked without having been on the screen."""
        self._seen |= {subject.id: subject for subject in subjects}

    def do_mark_toggle(self) -> None:
        if (subject := self.subject()) is not None:
            self.remember([subject])
            self.toggle_mark()
            self.post_message(Recaptioned())

    def do_mark_none(self) -> None:
        self.clear_marks()
        self.post_message(Recaptioned())

    def sort_fields(self) -> list[str]:
        return ["order", *(column.sort for column in self._columns if column.sort), *UNSEEN]

    def do_list_flip(self) -> None:
        field = self.feed.sort
        self._sort(field[1:] if field.startswith("-") else f"-{field}")

    def do_list_sort_left(self) -> None:
        self._step_sort(-1)

    def do_list_sort_right(self) -> None:
        self._step_sort(1)

    def sort_on(self, field: str) -> None:
        """Sort by a field of the engine; `-` before it turns it round."""
        self._sort(field)

    def _step_sort(self, step: int) -> None:
        fields = self.sort_fields()
        now = self.feed.sort.lstrip("-")
        self._sort(fields[(fields.index(now) + step) % len(fields)] if now in fields else fields[0])

    def _sort(self, field: str) -> None:
        self.feed.set_sort(field)
        self.post_message(Recaptioned())


def subject_of(row: TaskRow) -> Subject:
    return Subject(row.id, row.job_name, row.state, row.priority)


def when(row: TaskRow, now: float | None = None) -> str:
    """How long it has run; else the time of day or the date since when it stands as it does.

    A time of day stays true by itself: a queue in which nothing runs costs no clock and no byte.
    """
    now = time.time() if now is None else now
    if row.state in LIVE and row.started_at:
        return age(now - row.started_at)
    local = time.localtime(row.ended_at or row.queued_at or row.created_at)
    return time.strftime("%H:%M" if local[:3] == time.localtime(now)[:3] else "%b %d", local)


def whereabouts(row: TaskRow) -> Cell:  # noqa: PLR0911 - one line a state
    """Where it runs, what it waits for, or how it ended."""
    if row.state in LIVE:
        if row.gpu_ids:
            return Cell(f"gpu {','.join(map(str, row.gpu_ids))}")
        return Cell(f"try {row.attempt}" if row.attempt > 1 else "", Tone.DIM)
    if row.state == "failed":
        return Cell(f"exit {row.exit_code}" if row.exit_code else _shortly(row.error or ""), Tone.BAD)
    if row.state == "queued" and row.not_before and row.not_before > time.time():
        return Cell(f"retry in {age(row.not_before - time.time())}", Tone.DIM)
    if row.state == "blocked":
        return Cell(f"after {', '.join(one[:SHORT] for one in row.after)}" if row.after else row.reason or "", Tone.DIM)
    if row.state == "waiting":
        return Cell(row.reason or "you", Tone.WANTS)
    return Cell(row.reason or "", Tone.DIM)


def _shortly(error: str) -> str:
    """`killed by SIGKILL (9)` -> `SIGKILL`: what tells it apart comes first in a narrow column."""
    return error.removeprefix("killed by ").partition(" (")[0]


def command_line(row: TaskRow) -> str:
    """What it runs, as a shell would show it."""
    if row.command:
        import shlex

        return shlex.join(row.command)
    return row.args or ""


def columns(*, ascii_only: bool) -> tuple[Column[TaskRow], ...]:
    """What the queue shows of a task, the most important columns staying longest."""
    words = {state: status(state, ascii_only=ascii_only) for state in MARKS}

    def state(row: TaskRow) -> Cell:
        return Cell(words.get(row.state, row.state), mark_of(row.state).tone)

    def name(row: TaskRow) -> Cell:
        return Cell(row.job_name, Tone.DIM if row.state in ENDED and row.state != "failed" else Tone.TEXT)

    def number(value: int, unit: str = "") -> str:
        return f"{value}{unit}" if value else "-"

    def ticks(row: TaskRow) -> bool:
        return row.state in LIVE

    return (
        Column("id", "ID", SHORT, lambda row: row.id[:SHORT], tone=Tone.DIM, sort="id"),
        Column("name", "NAME", 24, name, least=14, flex=2, sort="job_name"),
        Column("state", "STATE", 12, state, sort="state"),
        Column("priority", "PRI", 3, lambda row: str(row.priority), "right", Tone.DIM, sort="priority", spare=3),
        Column("cpu", "CPU", 3, lambda row: number(row.cpu), "right", Tone.DIM, sort="cpu", spare=5),
        Column(
            "memory", "MEM", 4, lambda row: number(row.memory_gb, "G"), "right", Tone.DIM, sort="memory_gb", spare=5
        ),
        Column("gpu", "GPU", 3, lambda row: number(row.gpu), "right", Tone.DIM, sort="gpu", spare=4),
        Column("time", "TIME", 6, when, "right", Tone.DIM, sort="created_at", spare=1, ticks=ticks),
        Column("on", "ON", 12, whereabouts, least=8, flex=1, spare=2),
        Column("group", "GROUP", 10, lambda row: row.group or "", tone=Tone.DIM, sort="group", spare=7),
        Column("command", "COMMAND", 24, command_line, tone=Tone.DIM, least=16, flex=4, spare=8),
    )
