"""A task's page: everything about one task, with its log beside it."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.timer import Timer
from textual.widget import Widget

from console.formats import Tone
from console.link import Answer
from console.panes.base import Recaptioned
from console.panes.log import LogPane
from console.panes.queue import subject_of
from console.panes.task import ArtifactsPane, AttemptsPane, FactsPane, TaskEventsPane
from console.plan import task_page
from console.rows import UnreadableRow, UsageRow, build
from console.screens.desk import Desk
from console.situation import Place, Subject
from console.widgets.ink import Run
from console.widgets.log_view import LogView
from engine.protocol.states import LIVE

LOOK_EVERY_S = 2.0
"""While the task runs and its page is in front: how often its ages, and what it uses, are read."""


class TaskPage(Desk, inherit_bindings=False):
    PANES: ClassVar[tuple[str, ...]] = ("facts", "log", "attempts", "events", "artifacts")
    PLACE = Place.TASK

    def __init__(self, subject: Subject) -> None:
        super().__init__(task_page)
        self._known = subject
        self._looking: Timer | None = None
        self._unwatch_detail: Callable[[], None] | None = None

    def on_mount(self) -> None:
        self._unwatch_detail = self.detail.watch(self._changed)
        self._looking = self.set_interval(LOOK_EVERY_S, self._look, pause=True)
        self._mind()

    def on_unmount(self) -> None:
        self.detail.close()

    def on_screen_suspend(self) -> None:
        if self._looking is not None:
            self._looking.pause()

    def on_screen_resume(self) -> None:
        self._mind()

    @property
    def detail(self) -> Any:
        if not hasattr(self, "_detail"):
            self._detail = self.floor.mirror.detail(self._known.id)
        return self._detail

    def make_pane(self, name: str) -> Widget:
        if name == "log":
            log = LogPane(self.floor.mirror, ascii_only=self.ascii_only)
            log.whose = self._known.name
            self.call_after_refresh(log.show, self._known.id)
            return log
        kinds: dict[str, Any] = {
            "facts": FactsPane,
            "attempts": AttemptsPane,
            "events": TaskEventsPane,
            "artifacts": ArtifactsPane,
        }
        pane: Widget = kinds[name](self.detail, palette=self.palette, ascii_only=self.ascii_only)
        return pane

    def subject(self) -> Subject | None:
        task = self.detail.task
        return self._known if task is None else subject_of(task)

    def caption(self, pane: str) -> Any:
        left, right = super().caption(pane)
        if pane == "facts":
            subject = self.subject()
            name = subject.name if subject else self._known.name
            return [*left, Run(" ─ ", Tone.RULE), Run(name), Run(f" · {self._known.id}", Tone.DIM)], right
        return left, right

    def tab_count(self, name: str) -> Run | None:
        many = {"attempts": self.detail.attempts, "artifacts": self.detail.artifacts}.get(name)
        return Run(str(len(many)), Tone.DIM) if many else None

    def do_task_log(self) -> None:
        self.jump("log")

    def do_go_back(self) -> None:
        self.floor.pop_screen()

    def do_log_attempt_before(self) -> None:
        self._step_attempt(-1)

    def do_log_attempt_after(self) -> None:
        self._step_attempt(1)

    def _step_attempt(self, step: int) -> None:
        log = self.pane("log")
        numbers = [attempt.number for attempt in self.detail.attempts]
        if log is None or len(numbers) < 2:
            self.say("there is one attempt at most", Tone.DIM)
            return
        now = numbers.index(log.attempt) if log.attempt in numbers else len(numbers) - 1
        log.show(self._known.id, numbers[(now + step) % len(numbers)])

    def _changed(self, what: str) -> None:
        pane = self.pane("facts" if what in {"task", "trouble"} else what)
        if pane is not None:
            pane.reread()
        if what == "task":
            self._mind()
            self._follow_new_attempt()
        self.redraw()

    def _follow_new_attempt(self) -> None:
        """A retry is shown as it starts, unless someone reads an older attempt's log."""
        log, task = self.pane("log"), self.detail.task
        if (
            log is not None
            and task is not None
            and log.attempt is not None
            and log.attempt == task.attempt - 1
            and log.ended
        ):
            log.show(self._known.id, task.attempt)

    def _mind(self) -> None:
        if self._looking is None:
            return
        task = self.detail.task
        if task is not None and task.state in LIVE and self.is_current:
            self._looking.resume()
            self._look()
        else:
            self._looking.pause()

    def _look(self) -> None:
        if not self.floor.mirror.stale:
            self.floor.mirror.read(f"/v1/tasks/{self._known.id}/usage", {}, self._used)

    def _used(self, answer: Answer) -> None:
        pane = self.pane("facts")
        if pane is None or not self.is_attached:
            return
        try:
            pane.usage = build(UsageRow, answer.value) if answer.ok else None
        except UnreadableRow:
            pane.usage = None
        pane.reread()

    @on(LogView.Changed)
    def _log_changed(self) -> None:
        log, attempts = self.pane("log"), self.pane("attempts")
        if log is not None and attempts is not None and attempts.shown != log.attempt:
            attempts.shown = log.attempt
            attempts.reread()
        self.post_message(Recaptioned())
