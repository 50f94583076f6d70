"""The submit form: a line a field, what the engine says about a field beneath it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from console.formats import Tone
from console.link import Trouble
from console.screens.form_fields import FIELDS, Field, FieldFault, read_form
from console.widgets.ink import Run, strip_of

if TYPE_CHECKING:
    from console.app import Shopfloor

LABEL = 11


class Line(Widget):
    """A field: its label, its input, and a second line where something is wrong with it."""

    DEFAULT_CSS = """
    Line { height: 1; }
    Line Input { margin: 0 0 0 11; border: none; padding: 0; height: 1; background: $background; }
    Line Input:focus { background: $raised; }
    """

    def __init__(self, field: Field, value: str) -> None:
        super().__init__(id=f"line-{field.key}")
        self.field = field
        self.fault = ""
        self.input = Input(value, placeholder=field.hint, id=field.key, compact=True)

    @property
    def floor(self) -> "Shopfloor":
        return cast("Shopfloor", self.app)

    def compose(self) -> ComposeResult:
        yield self.input

    def blame(self, message: str) -> None:
        """Say what is wrong with it; nothing, when it is right again."""
        self.fault = message
        self.styles.height = 2 if message else 1
        self.refresh(layout=True)

    def render_line(self, y: int) -> Strip:
        if y == 0:
            runs = [Run(f"{self.field.label:<{LABEL}}", Tone.WANTS if self.fault else Tone.DIM)]
        else:
            runs = [Run(" " * LABEL), Run(self.fault, Tone.WANTS)]
        return strip_of(runs, self.size.width, self.floor.palette, self.rich_style, ascii_only=self.floor.ascii_only)


class SubmitForm(ModalScreen[str], inherit_bindings=False):
    """Ends with the line to say when the engine took the task, or with None; what was typed stays for the next time."""

    DEFAULT_CSS = """
    SubmitForm > #form {
        width: 96%; max-width: 100; height: auto; max-height: 100%; padding: 0 1; background: $background;
        border: solid $rule; border-title-color: $accent; border-title-style: bold; border-subtitle-color: $dim;
        overflow-y: auto;
    }
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__()
        self._values = values

    @property
    def floor(self) -> "Shopfloor":
        return cast("Shopfloor", self.app)

    def compose(self) -> ComposeResult:
        form = Widget(*(Line(field, self._values.get(field.key, "")) for field in FIELDS), id="form")
        form.set_class(self.floor.ascii_only, "ascii")
        form.border_title = "submit"
        form.border_subtitle = "enter submits, tab moves, esc leaves; what you typed stays"
        yield form

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#command", Input))

    def on_key(self, event: events.Key) -> None:
        match event.key:
            case "escape":
                self._keep()
                self.dismiss(None)
            case "enter":
                self.run_worker(self._submit(), exclusive=True)
            case "down" | "tab":
                self.focus_next()
            case "up" | "shift+tab":
                self.focus_previous()
            case _ if event.is_printable and event.character:
                # An input stops what it takes: this key came before one had the keys, and is not lost.
                line = self.focused if isinstance(self.focused, Input) else self.query_one("#command", Input)
                line.insert_text_at_cursor(event.character)
            case _:
                return
        event.stop()
        event.prevent_default()

    def lines(self) -> list[Line]:
        return list(self.query(Line))

    def values(self) -> dict[str, str]:
        return {line.field.key: line.input.value for line in self.lines()}

    def _keep(self) -> None:
        self.floor.draft = self.values()

    def _blame(self, faults: Mapping[str, str]) -> None:
        first: Line | None = None
        for line in self.lines():
            message = faults.get(line.field.key, "")
            if message != line.fault:
                line.blame(message)
            if message and first is None:
                first = line
        if first is not None:
            first.input.focus()

    async def _submit(self) -> None:
        body = read_form(self.values())
        if isinstance(body, FieldFault):
            self._blame({body.field: body.message})
            return
        if folder := self.values()["snapshot"].strip():
            stored = await self._store(folder, body["job_name"])
            if stored is None:
                return
            body["snapshot_id"] = stored
        answer = await self.floor.mirror.ask("POST", "/v1/tasks", body)
        if answer.trouble:
            self._show(answer.trouble)
        else:
            self.floor.draft = {}
            self.dismiss(f"{body['job_name']} is queued as {_id_of(answer.value)}")

    async def _store(self, folder: str, name: str) -> str | None:
        if not self.floor.engine_is_local:
            self._blame({"snapshot": "on another machine: shopfloor submit --snapshot DIR sends it"})
            return None
        path = _whole(folder)
        answer = await self.floor.mirror.ask("POST", "/v1/snapshots", {"path": path, "experiment": name})
        if answer.trouble:
            said = answer.trouble.fields[0].partition(": ")[2] if answer.trouble.fields else answer.trouble.message
            self._blame({"snapshot": said})
            return None
        return str(answer.value["id"])

    def _show(self, trouble: Trouble) -> None:
        """The engine's words at the fields that they are about; at the command where they are about none of them."""
        known = {field.key: field.hint for field in FIELDS}
        faults: dict[str, str] = {}
        for said in trouble.fields:
            name, _, message = said.partition(": ")
            key = name.partition(".")[0]
            if "match pattern" in message and key in known:
                message = f"allowed: {known[key]}"  # words for a person in place of an expression
            faults[key if key in known else "command"] = message if key in known else said
        self._blame(faults or {"command": trouble.message})


def _whole(folder: str) -> str:
    """The folder as the engine, which stands elsewhere, has to be told it."""
    return str(Path(folder).expanduser().absolute())


def _id_of(value: Any) -> str:
    return str(value.get("id", "")) if isinstance(value, Mapping) else ""
