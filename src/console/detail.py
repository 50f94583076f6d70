"""One task with all that belongs to it, kept current while its page is open."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from console.feed import Get
from console.link import Answer, Trouble
from console.news import Changes
from console.rows import ArtifactRow, AttemptRow, EventRow, Row, TaskRow, UnreadableRow, build, patch


class Detail:
    """`task`, `attempts`, `artifacts` and `events` (oldest first) of a task; None or empty until they are here."""

    def __init__(self, get: Get, task_id: str, closed: Callable[["Detail"], None]) -> None:
        self._get, self._closed = get, closed
        self._watchers: list[Callable[[str], None]] = []
        self._open = True
        self.task_id = task_id
        self.task: TaskRow | None = None
        self.attempts: tuple[AttemptRow, ...] = ()
        self.artifacts: tuple[ArtifactRow, ...] = ()
        self.events: tuple[EventRow, ...] = ()
        self.trouble: Trouble | None = None
        self.refresh()

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Calls `changed` with `task`, `attempts`, `artifacts`, `events` or `trouble`; returns how to end that."""
        self._watchers.append(changed)
        return partial(self._watchers.remove, changed)

    def close(self) -> None:
        """No more is read for it."""
        if self._open:
            self._open = False
            self._watchers.clear()
            self._closed(self)

    def refresh(self) -> None:
        path = f"/v1/tasks/{self.task_id}"
        self._get(path, {}, partial(self._take, "task", TaskRow))
        self._get(f"{path}/attempts", {}, partial(self._take, "attempts", AttemptRow))
        self._get(f"{path}/artifacts", {}, partial(self._take, "artifacts", ArtifactRow))
        self._get(f"{path}/events", {}, partial(self._take, "events", EventRow))

    def apply(self, change: Changes) -> None:
        """Patches the task at once; what belongs to it is read again."""
        if self.task is not None:
            try:
                self._set("task", patch(self.task, change.fields))
            except UnreadableRow as error:
                self._set("trouble", Trouble(str(error)))
        self.refresh()

    def _take(self, name: str, kind: type[Row], answer: Answer) -> None:
        if not self._open:
            return
        if answer.trouble is not None:
            self._set("trouble", answer.trouble)
            return
        try:
            value: Any = build(kind, answer.value) if name == "task" else _all(kind, answer.value)
        except UnreadableRow as error:
            self._set("trouble", Trouble(str(error)))
            return
        self._set(name, value)
        self._set("trouble", None)

    def _set(self, name: str, value: Any) -> None:
        if value != getattr(self, name):
            setattr(self, name, value)
            for changed in tuple(self._watchers):
                changed(name)


def _all(kind: type[Row], value: object) -> tuple[Row, ...]:
    """The rows of a plain list or of a window."""
    if isinstance(value, Mapping):
        value = value.get("rows", value.get("events", []))
    if not isinstance(value, list):
        raise UnreadableRow(f"{kind.__name__}: expected a list")
    return tuple(build(kind, one) for one in value)
