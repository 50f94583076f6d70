"""The line at the bottom: a filter, a command, a text to search for. What is wrong with it stands beneath it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from console.formats import Tone
from console.widgets.ink import Run, strip_of

if TYPE_CHECKING:
    from console.app import Shopfloor


MOST_HINT = 5
KEYS = frozenset({"enter", "escape", "ctrl+c", "tab", "up", "down"})


def _nothing(_: str) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the line is for. `done` takes it and closes the prompt itself; `typed` hears of each change.

    What is typed takes the place of `start`, or stands after it with `go_on`.
    """

    sign: str
    hint: str
    done: Callable[[str], None]
    start: str = ""
    given_up: Callable[[], None] = lambda: None
    typed: Callable[[str], None] = lambda _: None
    complete: Callable[[str], Sequence[str]] = _nothing
    history: list[str] = field(default_factory=list)
    go_on: bool = False


class Prompt(Widget):
    """An input of one line with a hint beneath; it has the keys until it is closed."""

    def __init__(self, purpose: Purpose) -> None:
        super().__init__(name="prompt")
        self.purpose = purpose
        self.input = Input(purpose.start, compact=True, select_on_focus=not purpose.go_on)
        self._tone = Tone.DIM
        self._hint: list[str] = [purpose.hint]
        self._back = len(purpose.history)
        self._early: list[events.Key] = []

    @property
    def floor(self) -> "Shopfloor":
        return cast("Shopfloor", self.app)

    def compose(self) -> ComposeResult:
        yield self.input

    def on_mount(self) -> None:
        self.screen.set_focus(self.input, scroll_visible=False)
        self._offer(self.purpose.start)
        for event in self._early:
            self.early(event)

    def early(self, event: events.Key) -> bool:
        """Take a key that did not come through the input; whether it is one for this line."""
        printable = event.character is not None and event.is_printable
        if not self.is_mounted:
            if printable or event.key in KEYS:
                self._early.append(event)
                return True
            return False
        if printable:
            self.input.insert_text_at_cursor(event.character or "")
            return True
        return self._pressed(event.key)

    def blame(self, reason: str) -> None:
        """Say what is wrong, beneath the line."""
        self._tell(reason, Tone.WANTS)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._offer(event.value)
        self.purpose.typed(event.value)

    def on_key(self, event: events.Key) -> None:
        if self._pressed(event.key):
            event.stop()
            event.prevent_default()

    def _pressed(self, key: str) -> bool:
        """Do what the key does to the line; whether it does anything."""
        match key:
            case "enter":
                value = self.input.value.strip()
                if value and value not in self.purpose.history[-1:]:
                    self.purpose.history.append(value)
                self.purpose.done(value)
            case "escape" | "ctrl+c":
                self.purpose.given_up()
            case "tab":
                self._complete()
            case "up":
                self._recall(-1)
            case "down":
                self._recall(1)
            case _:
                return False
        return True

    def _recall(self, step: int) -> None:
        history = self.purpose.history
        self._back = max(0, min(len(history), self._back + step))
        self.input.value = history[self._back] if self._back < len(history) else ""
        self.input.cursor_position = len(self.input.value)

    def _offer(self, value: str) -> None:
        words = self.purpose.complete(value)
        self._tell("  ".join(words) or self.purpose.hint, Tone.DIM)

    def _complete(self) -> None:
        """The longest piece that all completions begin with; the only one whole, with a blank after it."""
        value = self.input.value
        words = self.purpose.complete(value)
        if not words:
            return
        before = value[: len(value) - len(value.split(" ")[-1])]
        common = words[0]
        for word in words[1:]:
            while not word.startswith(common):
                common = common[:-1]
        if len(words) == 1 and not common.endswith((":", "=")):
            common += " "
        if len(before + common) > len(value):
            self.input.value = before + common
            self.input.cursor_position = len(self.input.value)

    @property
    def tall(self) -> int:
        """Lines it takes: the input, and what is said beneath it."""
        return 1 + len(self._hint)

    def _tell(self, said: str, tone: Tone) -> None:
        hint = wrap(said, max(20, self.app.size.width - 3), max_lines=MOST_HINT, placeholder=" …") or [""]
        if (hint, tone) != (self._hint, self._tone):
            grew = len(hint) != len(self._hint)
            self._hint, self._tone = hint, tone
            self.refresh(layout=grew)

    def render_line(self, y: int) -> Strip:
        if y == 0:
            runs = [Run(self.purpose.sign, Tone.ACCENT, bold=True)]
        else:
            runs = [Run(f"  {self._hint[y - 1]}" if y <= len(self._hint) else "", self._tone)]
        return strip_of(runs, self.size.width, self.floor.palette, self.rich_style, ascii_only=self.floor.ascii_only)
