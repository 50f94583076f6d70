"""Help: the keys of where one is, and what each does, out of the registry."""

from console.actions import Action, here, why_not
from console.formats import Tone
from console.keymap import Keymap, shown
from console.screens.dialogs import Dialog
from console.situation import Place, Situation
from console.widgets.ink import Run, Runs


class Help(Dialog[None], inherit_bindings=False):
    def __init__(self, situation: Situation, keymap: Keymap, *, ascii_only: bool) -> None:
        lines = help_lines(situation, keymap, ascii_only=ascii_only)
        super().__init__("keys", lines, "j k to move, esc to close")

    def pressed(self, key: str) -> None:
        if key in {"?", "f1", "enter"}:
            self.dismiss(None)
        else:
            super().pressed(key)


HEADINGS = {
    Place.QUEUE: "the task under the cursor, and the queue",
    Place.LIST: "this list",
    Place.LOG: "the log",
    Place.TASK: "this task, and its page",
    Place.OVERVIEW: "the overview",
    Place.ANYWHERE: "anywhere",
}


def help_lines(situation: Situation, keymap: Keymap, *, ascii_only: bool) -> list[Runs]:
    """A line an action: its keys, its `:` command, what it does; and why it can't be done now. Moving comes last."""
    groups: dict[str, list[Action]] = {}
    for action in here(situation):
        moves = action.id.startswith("move.")
        heading = "moving" if moves else HEADINGS.get(_first_place(action, situation), "here")
        if _worth(action):
            groups.setdefault(heading, []).append(action)
    if "moving" in groups:
        groups["moving"] = groups.pop("moving")
    keys = {
        action.id: _keys(action, situation, keymap, ascii_only=ascii_only)
        for group in groups.values()
        for action in group
    }
    wide = max(map(len, keys.values()), default=0)
    lines: list[Runs] = []
    for heading, group in groups.items():
        lines += [[], [Run(heading, Tone.DIM, bold=True)]]
        lines += [_line(action, situation, f"{keys[action.id]:<{wide}}") for action in group]
    return lines[1:]


def _worth(action: Action) -> bool:
    """Panes by number and by name are told once, by the first of them."""
    return not (
        action.id.startswith(("pane.", "go."))
        and action.id not in {"pane.next", "pane.previous", "pane.zoom", "pane.1", "go.queue", "go.back"}
    )


def _first_place(action: Action, situation: Situation) -> Place:
    return next(place for place in situation.places if place in action.where)


def _keys(action: Action, situation: Situation, keymap: Keymap, *, ascii_only: bool) -> str:
    keys = " ".join(shown(key, ascii_only=ascii_only) for key in keymap.there(action, situation.places))
    return f"{keys} ..." if action.id == "pane.1" else keys


def _line(action: Action, situation: Situation, keys: str) -> Runs:
    word = f":{action.words[0]} {action.argument}".rstrip() if action.words else ""
    said = action.help
    if action.id == "pane.1":
        said = "To the pane of that number."
    if action.id == "go.queue":
        word, said = ":queue :jobs ...", "To the pane of that name."
    reason = why_not(action, situation)
    tone = Tone.DIM if reason else Tone.ACCENT
    return [
        Run(f"{keys}  ", tone),
        Run(f"{word:<17} ", Tone.DIM),
        Run(f"{said} Not now: {reason}." if reason else said, Tone.DIM if reason else Tone.TEXT),
    ]
