"""The first screen: the queue, and beside it whatever there is room for."""

from typing import Any, ClassVar

from textual import on
from textual.timer import Timer
from textual.widget import Widget

from console.actions import Action
from console.formats import Tone
from console.panes.base import Recaptioned
from console.panes.log import LogPane
from console.panes.queue import QueuePane, subject_of
from console.plan import overview
from console.rows import JobRow, PhaseRow, TaskRow
from console.screens.desk import Desk
from console.situation import Place, Subject
from console.widgets.ink import Run
from console.widgets.ledger import Ledger
from console.widgets.log_view import LogView

SETTLE_S = 0.08
"""The cursor rests this long on a row before its log is read: running down a list reads nothing."""


class Overview(Desk, inherit_bindings=False):
    PANES: ClassVar[tuple[str, ...]] = ("queue", "jobs", "phases", "costs", "approvals", "notebooks", "events")
    PLACE = Place.OVERVIEW

    def __init__(self) -> None:
        super().__init__(overview)
        self._settling: Timer | None = None
        self._wanted: tuple[str | None, str] = (None, "")

    def make_pane(self, name: str) -> Widget:  # noqa: PLR0911 - one line a pane
        mirror, ascii_only = self.floor.mirror, self.floor.ascii_only
        match name:
            case "queue":
                return QueuePane(mirror, ascii_only=ascii_only)
            case "log":
                return LogPane(mirror, ascii_only=ascii_only)
            case "jobs":
                from console.panes.jobs import JobsPane

                return JobsPane(mirror, ascii_only=ascii_only)
            case "phases":
                from console.panes.phases import PhasesPane

                return PhasesPane(mirror, ascii_only=ascii_only)
            case "costs":
                from console.panes.costs import CostsPane

                return CostsPane(mirror, ascii_only=ascii_only)
            case "approvals":
                from console.panes.approvals import ApprovalsPane

                return ApprovalsPane(mirror, ascii_only=ascii_only)
            case "notebooks":
                from console.panes.notebooks import NotebooksPane

                return NotebooksPane(self.floor.notebooks, ascii_only=ascii_only)
            case _:
                from console.panes.events import EventsPane

                return EventsPane(mirror, palette=self.palette, ascii_only=ascii_only)

    @property
    def queue(self) -> Any:
        return self.pane("queue")

    def subject(self) -> Subject | None:
        return self.queue.subject() if self.queue is not None else None

    def marked(self) -> list[Subject]:
        return self.queue.marked() if self.queue is not None else []

    def place_for(self, action: Action) -> None:
        """A command about the queue takes the queue in hand first."""
        if Place.QUEUE in action.where and Place.QUEUE not in self.places():
            self.jump("queue")
        super().place_for(action)

    def do_pane_back(self) -> None:
        if self._zoomed:
            self.zoom()
        else:
            self.jump("queue")

    def tab_count(self, name: str) -> Run | None:
        mirror = self.floor.mirror
        if name == "queue":
            stats = mirror.stats
            return Run(f"{stats.queued:,}", Tone.DIM) if stats is not None and stats.queued else None
        if name == "approvals":
            waiting = mirror.approvals.total
            return Run(f"◆{waiting}", Tone.WANTS) if waiting else None
        if name == "jobs" and mirror.jobs.total:
            return Run(f"{mirror.jobs.total:,}", Tone.DIM)
        return None

    def do_task_log(self) -> None:
        self.jump("log")

    @on(Ledger.Moved)
    def _row_moved(self, message: Ledger.Moved) -> None:
        row: Any = message.row
        match row:
            case TaskRow():
                self._want_log(row.id, row.job_name)
            case PhaseRow():
                self._want_log(row.task_id, row.name)
            case JobRow():
                self.floor.show_phases_of(row.id)
            case None if message.ledger is self.queue:
                self._want_log(None, "")
        self.redraw()

    @on(Ledger.Opened)
    def _row_opened(self, message: Ledger.Opened) -> None:
        row: Any = message.row
        if isinstance(row, TaskRow):
            self.floor.open_task(subject_of(row))
        elif isinstance(row, PhaseRow) and row.task_id:
            self.floor.open_task(Subject(row.task_id, row.name, row.state))

    @on(Ledger.Marked)
    @on(LogView.Changed)
    def _something_changed(self) -> None:
        self.post_message(Recaptioned())

    def _want_log(self, task_id: str | None, name: str) -> None:
        first = self._wanted == (None, "")
        self._wanted = (task_id, name)
        if self._settling is not None:
            self._settling.stop()
        if first:
            self._show_log()
        else:
            self._settling = self.set_timer(SETTLE_S, self._show_log)

    def _show_log(self) -> None:
        log = self.pane("log")
        if log is not None:
            log.whose = self._wanted[1]
            log.show(self._wanted[0])
            self.redraw()

    def _replan(self, size: Any) -> None:
        had_log = self.pane("log") is not None
        super()._replan(size)
        if not had_log and "log" in self.plan.slots:
            self.call_after_refresh(self._show_log)
