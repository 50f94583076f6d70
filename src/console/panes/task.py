"""What a task's page shows: its facts, its attempts, its events, what it left."""

import shlex
import time
from collections.abc import Sequence

from console.detail import Detail
from console.formats import Tone, age, mark_of, moment, size, status
from console.panes.events import event_line
from console.rows import AttemptRow, TaskRow, UsageRow
from console.themes import Palette
from console.widgets.ink import Run, folded
from console.widgets.sheet import Sheet
from engine.protocol.states import ENDED, LIVE

LABEL = 10
MOST_SHOWN = 2_000
"""Characters of a command; its beginning tells what it is."""


class FactsPane(Sheet):
    """All that is known of the task, and what it uses now while it runs."""

    def __init__(self, detail: Detail, *, palette: Palette, ascii_only: bool) -> None:
        super().__init__(id="facts", palette=palette, ascii_only=ascii_only)
        self._detail = detail
        self._facts: list[Sequence[Run]] = []
        self.usage: UsageRow | None = None

    def count(self) -> int:
        return len(self._facts)

    def line(self, index: int) -> Sequence[Run]:
        return self._facts[index]

    def reread(self) -> None:
        trouble = self._detail.trouble
        if self._detail.task is not None:
            lines = facts(self._detail.task, self.usage, time.time(), ascii_only=self.ascii_only)
            room = self.size.width - 1
            self._facts = [part for line in lines for part in folded(line, room)] if room > 0 else lines
        elif trouble is not None:
            self._facts = [[Run(trouble.message, Tone.WANTS)]]
        super().reread()


def facts(task: TaskRow, usage: UsageRow | None, now: float, *, ascii_only: bool) -> list[Sequence[Run]]:
    """A line a fact, the most telling first; what was never set is left out."""
    mark = mark_of(task.state)
    lines: list[Sequence[Run]] = []

    def fact(label: str, *runs: Run) -> None:
        lines.append([Run(f"{label:<{LABEL}}", Tone.DIM), *runs])

    fact("state", Run(status(task.state, ascii_only=ascii_only), mark.tone), Run(f"  {_how_long(task, now)}", Tone.DIM))
    if task.error:
        fact("error", Run(task.error, Tone.BAD))
    if task.reason:
        fact("because", Run(task.reason, Tone.WANTS if task.state == "waiting" else Tone.TEXT))
    runs = shlex.join(task.command) if task.command else task.args or "its entry script"
    fact("runs", Run(runs if len(runs) <= MOST_SHOWN else f"{runs[:MOST_SHOWN]}…"))
    fact("asks", Run(_asks(task)))
    if usage is not None and task.state in LIVE:
        processes = f"{usage.processes} process{'' if usage.processes == 1 else 'es'}"
        fact("uses", Run(f"{usage.cpu:.1f} cores  {size(usage.memory_bytes)}  {processes}", Tone.ACCENT))
    fact("priority", Run(str(task.priority)))
    attempts = f"{task.attempt} of {1 + task.max_retries}" if task.max_retries else str(task.attempt)
    fact("attempt", Run(attempts if task.attempt else "none yet"))
    if task.exit_code is not None:
        fact("exit", Run(str(task.exit_code), Tone.BAD if task.exit_code else Tone.TEXT))
    for label, at in (("submitted", task.created_at), ("started", task.started_at), ("ended", task.ended_at)):
        if at is not None:
            fact(label, Run(moment(at)))
    if task.not_before is not None and task.not_before > now:
        fact("not before", Run(moment(task.not_before)))
    plain = (
        ("group", task.group),
        ("after", ", ".join(task.after)),
        ("timeout", age(task.timeout_s) if task.timeout_s else None),
        ("executor", task.executor),
        ("image", task.image),
        ("folder", task.cwd),
        ("snapshot", task.snapshot_id),
        ("datasets", ", ".join(map(str, task.datasets))),
        ("by", task.user_id),
        ("worker", task.worker_id),
        ("job", f"{task.job_id} {task.phase or ''}" if task.job_id else None),
        *((name, value) for name, value in task.metadata.items()),
    )
    for label, value in plain:
        if value:
            fact(label, Run(value))
    return lines


class AttemptsPane(Sheet):
    """Every run of the task; the one whose log is shown is marked."""

    def __init__(self, detail: Detail, *, palette: Palette, ascii_only: bool) -> None:
        super().__init__(id="attempts", palette=palette, ascii_only=ascii_only)
        self._detail = detail
        self.shown: int | None = None

    def caption(self) -> tuple[list[Run], list[Run]]:
        many = len(self._detail.attempts)
        return ([Run(f"{many}", Tone.DIM)] if many else []), (
            [Run("[ ] show another's log", Tone.DIM)] if many > 1 else []
        )

    def count(self) -> int:
        return max(1, len(self._detail.attempts))

    def line(self, index: int) -> Sequence[Run]:
        if not self._detail.attempts:
            return [Run("not started yet", Tone.DIM)]
        attempt = self._detail.attempts[-1 - index]
        state = attempt.outcome or "running"
        pointer = "▸" if attempt.number == self.shown else " "
        return [
            Run(f"{pointer} {attempt.number:<3}", Tone.ACCENT),
            Run(f"{status(state, ascii_only=self.ascii_only):<14}", mark_of(state).tone),
            Run(f"{_took(attempt):>6}  ", Tone.TEXT),
            Run(_ending(attempt), Tone.DIM),
        ]


class TaskEventsPane(Sheet):
    """What happened to the task, the newest last."""

    def __init__(self, detail: Detail, *, palette: Palette, ascii_only: bool) -> None:
        super().__init__(id="events", palette=palette, ascii_only=ascii_only, tail=True)
        self._detail = detail

    def caption(self) -> tuple[list[Run], list[Run]]:
        return ([Run(f"{len(self._detail.events)}", Tone.DIM)] if self._detail.events else []), []

    def count(self) -> int:
        return len(self._detail.events)

    def line(self, index: int) -> Sequence[Run]:
        return [run for place, run in enumerate(event_line(self._detail.events[index])) if place != 2]


class ArtifactsPane(Sheet):
    """What the task left in its output folder."""

    def __init__(self, detail: Detail, *, palette: Palette, ascii_only: bool) -> None:
        super().__init__(id="artifacts", palette=palette, ascii_only=ascii_only)
        self._detail = detail

    def caption(self) -> tuple[list[Run], list[Run]]:
        found = self._detail.artifacts
        return ([Run(f"{len(found)} · {size(sum(one.bytes for one in found))}", Tone.DIM)] if found else []), []

    def count(self) -> int:
        return max(1, len(self._detail.artifacts))

    def line(self, index: int) -> Sequence[Run]:
        if not self._detail.artifacts:
            return [Run("what the task writes into the folder $SHOPFLOOR_OUTPUT is kept, and stands here", Tone.DIM)]
        artifact = self._detail.artifacts[index]
        return [
            Run(f"{size(artifact.bytes):>9}  ", Tone.DIM),
            Run(artifact.path),
            Run(f"  {artifact.sha256[:12]}", Tone.DIM),
        ]


def _how_long(task: TaskRow, now: float) -> str:
    if task.state in LIVE and task.started_at:
        return f"for {age(now - task.started_at)}"
    if task.state in ENDED:
        if task.started_at and task.ended_at:
            return f"after {age(task.ended_at - task.started_at)}"
        return ""
    return f"for {age(now - (task.queued_at or task.created_at))}"


def _asks(task: TaskRow) -> str:
    ids = f" ({','.join(map(str, task.gpu_ids))})" if task.gpu_ids else ""
    parts = [f"cpu {task.cpu}"]
    parts += [f"mem {task.memory_gb}G"] if task.memory_gb else []
    parts += [f"gpu {task.gpu}{ids}"] if task.gpu else []
    return "  ".join(parts)


def _took(attempt: AttemptRow) -> str:
    if attempt.started_at is None:
        return ""
    return age((attempt.ended_at or time.time()) - attempt.started_at)


def _ending(attempt: AttemptRow) -> str:
    parts = []
    if attempt.signal:
        parts.append(f"signal {attempt.signal}")
    elif attempt.exit_code is not None:
        parts.append(f"exit {attempt.exit_code}")
    if attempt.gpu_ids:
        parts.append(f"gpu {','.join(map(str, attempt.gpu_ids))}")
    if attempt.output_bytes:
        parts.append(size(attempt.output_bytes))
    if attempt.error:
        parts.append(attempt.error)
    return "  ".join(parts)
