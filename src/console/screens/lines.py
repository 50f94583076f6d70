"""The three lines that can be typed at the bottom of a desk: a filter, a command, a text to search for."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.timer import Timer

from console.actions import BY_WORD
from console.commands import Misunderstood, parse_command
from console.feed import Change
from console.screens.prompt import Prompt, Purpose
from engine.protocol.states import ExecutorName, TaskState

if TYPE_CHECKING:
    from console.panes.log import LogPane
    from console.panes.queue import QueuePane
    from console.screens.desk import Desk

QUIET_S = 0.15
"""After the last key: then the filter is tried."""

FIELDS = [
    "id",
    "state",
    "status",
    "name",
    "group",
    "executor",
    "user",
    "priority",
    "cpu",
    "memory_gb",
    "gpu",
    "attempt",
    "image",
    "snapshot",
    "exit_code",
    "error",
    "meta.",
]
ASKS = ("cpu=", "gpu=", "memory_gb=", "timeout_s=", "max_retries=", "priority=")


def open_prompt(desk: "Desk", purpose: Purpose) -> Prompt:
    desk.prompt = prompt = Prompt(purpose)
    desk.mount(prompt)
    return prompt


def close_prompt(desk: "Desk") -> None:
    """The pane that was in hand has the keys again."""
    if (prompt := desk.prompt) is not None:
        desk.prompt = None
        prompt.remove()
        desk.take_in_hand()
        desk.redraw()


class FilterLine:
    """Tries the filter as it is typed; the engine's words stand beneath it where it can't read it."""

    def __init__(self, desk: "Desk", queue: "QueuePane", history: list[str]) -> None:
        self._desk, self._queue = desk, queue
        self._before = queue.feed.filter
        self._closing = False
        self._timer: Timer | None = None
        self._unwatch: Callable[[], None] = queue.feed.watch(self._heard)
        self._prompt = open_prompt(
            desk,
            Purpose(
                "/",
                "text  /regex/  field:value  name:begins*  !inverse   tab completes",
                self._done,
                start=self._before,
                given_up=self._given_up,
                typed=self._typed,
                complete=complete_filter,
                history=history,
            ),
        )

    def _typed(self, text: str) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._desk.set_timer(QUIET_S, lambda: self._apply(text))

    def _apply(self, text: str) -> None:
        self._timer = None
        self._queue.feed.set_filter(text.strip())

    def _done(self, text: str) -> None:
        if self._timer is not None:
            self._timer.stop()
        feed = self._queue.feed
        if feed.filter == text and feed.trouble is not None and not feed.trouble.gone:
            self._prompt.blame(feed.trouble.message)
            return
        known = feed.filter == text and feed.trouble is None and not feed.reading
        if known or self._desk.floor.mirror.stale:
            feed.set_filter(text)
            self._close()
            return
        self._closing = True
        feed.set_filter(text)
        if feed.trouble is not None and feed.trouble.gone:
            self._close()

    def _given_up(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._queue.feed.set_filter(self._before)
        self._close()

    def _heard(self, change: Change) -> None:
        trouble = self._queue.feed.trouble
        if trouble is not None and not trouble.gone:
            self._closing = False
            self._prompt.blame(trouble.message)
        elif self._closing and (change.whole or trouble is not None):
            self._close()
        else:
            self._queue.filter_changed()

    def _close(self) -> None:
        self._unwatch()
        close_prompt(self._desk)
        self._queue.filter_changed()


class CommandLine:
    """`:` and a command; tab completes it."""

    def __init__(self, desk: "Desk", themes: Sequence[str], history: list[str], start: str = "") -> None:
        self._desk = desk
        self._themes = themes
        self._prompt = open_prompt(
            desk,
            Purpose(
                ":",
                "",
                self._done,
                start=start,
                go_on=True,
                given_up=lambda: close_prompt(desk),
                complete=self._complete,
                history=history,
            ),
        )

    def _done(self, line: str) -> None:
        floor = self._desk.floor
        if not line:
            close_prompt(self._desk)
            return
        understood = parse_command(line)
        if isinstance(understood, Misunderstood):
            self._prompt.blame(understood.reason)
            return
        close_prompt(self._desk)
        # On the app's own turn: a dialog opened from here would answer to this line, which is gone by then.
        floor.call_later(floor.command, understood)

    def _complete(self, line: str) -> Sequence[str]:  # noqa: PLR0911 - one line a kind
        word, blank, argument = line.partition(" ")
        if not blank:
            return sorted(known for known in BY_WORD if known.startswith(word))
        action = BY_WORD.get(word)
        if action is None:
            return []
        last = argument.split(" ")[-1]
        match action.complete:
            case "theme":
                return [name for name in self._themes if name.startswith(last)]
            case "sort":
                queue = self._desk.queue
                fields = queue.sort_fields() if queue is not None else []
                return [field for field in fields if field.startswith(last.lstrip("-"))]
            case "filter":
                return complete_filter(argument)
            case "ask":
                return [name for name in ASKS if name.startswith(last)]
            case "task":
                rows = self._desk.floor.mirror.tasks.rows
                return [row.id for row in rows if row.id.startswith(last)][:8]
            case _:
                return [action.argument] if not argument and action.argument else []


class SearchLine:
    """A text to find in the log in hand."""

    def __init__(self, desk: "Desk", log: "LogPane", history: list[str]) -> None:
        self._desk, self._log = desk, log
        open_prompt(
            desk,
            Purpose(
                "/",
                "text to find; capitals count only where you write some",
                self._done,
                start=log.needle,
                given_up=lambda: close_prompt(desk),
                history=history,
            ),
        )

    def _done(self, text: str) -> None:
        close_prompt(self._desk)
        self._log.search(text)


def complete_filter(text: str) -> list[str]:
    """The fields, or a field's values, that the last term could go on with."""
    term = text.rsplit(" ", maxsplit=1)[-1]
    sign = "!" if term.startswith("!") else ""
    name, colon, value = term.lstrip("!").partition(":")
    if not colon:
        return [
            f"{sign}{field}{'' if field.endswith('.') else ':'}" for field in FIELDS if name and field.startswith(name)
        ]
    if name == "name" and value and not value.endswith("*"):
        return [f"{term}*"]  # without a star it is the whole name
    words = {"state": [*TaskState], "executor": [*ExecutorName]}.get(name, [])
    last = value.split(",")[-1]
    before = f"{sign}{name}:{value[: len(value) - len(last)]}"
    return [f"{before}{word}" for word in words if word.startswith(last)]
