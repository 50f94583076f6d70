"""The palette: every action that can be done here and now, found by a few letters of its title."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from console.actions import ACTIONS, Action, why_not
from console.formats import Tone
from console.keymap import shown
from console.situation import Place, Situation
from console.widgets.ink import Run, Runs
from console.widgets.sheet import Sheet

if TYPE_CHECKING:
    from console.app import Shopfloor

SHOWN = 14


def able(situation: Situation) -> list[Action]:
    """What the palette offers: nothing that only moves, nothing that must be given an argument."""
    return [
        action
        for action in ACTIONS
        if not action.id.startswith(("move.", "pane.", "command."))
        and (not action.argument or action.argument.startswith("["))
        and why_not(action, situation) is None
    ]


def matching(actions: Sequence[Action], text: str) -> list[Action]:
    """Those with all letters of `text` in their title, in order; the ones that begin with it first."""
    wanted = text.lower().replace(" ", "")

    def has_letters(title: str) -> bool:
        letters = iter(title.lower())
        return all(letter in letters for letter in wanted)

    found = [action for action in actions if has_letters(action.title)]
    return sorted(found, key=lambda action: (not action.title.startswith(text), text not in action.title))


class Found(Sheet, inherit_bindings=False):
    """The actions that match, the chosen one lit."""

    def __init__(self, floor: "Shopfloor", places: Sequence[Place]) -> None:
        super().__init__(id="found", palette=floor.palette, ascii_only=floor.ascii_only)
        self._floor = floor
        self._places = tuple(places)
        self.actions: list[Action] = []
        self.at = 0

    def count(self) -> int:
        return len(self.actions)

    def line(self, index: int) -> Runs:
        action, chosen = self.actions[index], index == self.at
        keys = self._floor.keymap.there(action, self._places)
        key = shown(keys[0], ascii_only=self.ascii_only) if keys else ""
        tone = Tone.ACCENT if chosen else Tone.TEXT
        return [
            Run("▸ " if chosen else "  ", Tone.ACCENT),
            Run(f"{action.title:<18}", tone, bold=chosen),
            Run(f"{key:<7}", Tone.ACCENT),
            Run(action.help, Tone.DIM),
        ]

    def step(self, step: int) -> None:
        if self.actions:
            self.at = (self.at + step) % len(self.actions)
            below = self.at - (self._top + self.size.height - 1)
            self.scroll_lines(below if below > 0 else min(0, self.at - self._top))


class ActionPalette(ModalScreen[Action], inherit_bindings=False):
    """Ends with the action that was chosen, or with None."""

    DEFAULT_CSS = """
    ActionPalette > #palette {
        width: 96%; max-width: 90; height: 18; max-height: 96%; padding: 0 1; background: $background;
        border: solid $rule; border-title-color: $accent; border-title-style: bold; border-subtitle-color: $dim;
    }
    ActionPalette Input { border: none; padding: 0; height: 1; background: $raised; }
    ActionPalette Found { height: 1fr; }
    """

    def __init__(self, situation: Situation) -> None:
        super().__init__()
        self._places = situation.places
        self._actions = able(situation)

    @property
    def _found(self) -> Found:
        return self.query_one(Found)

    def compose(self) -> ComposeResult:
        floor = cast("Shopfloor", self.app)
        box = Widget(Input(placeholder="letters of what to do", compact=True), Found(floor, self._places), id="palette")
        box.set_class(floor.ascii_only, "ascii")
        box.border_title = "palette"
        box.border_subtitle = "enter does it, esc leaves"
        yield box

    def on_mount(self) -> None:
        self._offer("")
        self.set_focus(self.query_one(Input))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._offer(event.value)

    def _offer(self, text: str) -> None:
        found = self._found
        found.actions, found.at = matching(self._actions, text), 0
        found.do_move_top()

    def on_key(self, event: events.Key) -> None:
        match event.key:
            case "escape" | "ctrl+p":
                self.dismiss(None)
            case "enter":
                found = self._found
                self.dismiss(found.actions[found.at] if found.actions else None)
            case "down" | "tab":
                self._found.step(1)
            case "up" | "shift+tab":
                self._found.step(-1)
            case _ if event.is_printable and event.character:
                line = self.query_one(Input)
                line.insert_text_at_cursor(event.character)
                self._offer(line.value)
            case _:
                return
        event.stop()
        event.prevent_default()
