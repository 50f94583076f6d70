"""Small dialogs over a screen: a question with yes and no, and a choice of one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from console.formats import Tone
from console.keymap import key_name
from console.themes import Palette
from console.widgets.ink import Run, Runs, folded, width_of
from console.widgets.sheet import Sheet

if TYPE_CHECKING:
    from console.app import Shopfloor

ResultT = TypeVar("ResultT")


FRAME = 6
"""Columns that a card takes beside its lines."""


class Card(Sheet, inherit_bindings=False):
    """Lines in a thin border, as wide and as high as they are."""

    def __init__(
        self, title: str, lines: Sequence[Runs], hint: str, *, room: int, palette: Palette, ascii_only: bool
    ) -> None:
        super().__init__(id="card", palette=palette, ascii_only=ascii_only)
        self.border_title = title
        self.border_subtitle = hint
        self.rows = [part for line in lines for part in folded(line, room)]
        widest = max((width_of(row) for row in self.rows), default=0)
        self.styles.width = max(widest, len(title), len(hint)) + FRAME
        self.styles.height = len(self.rows) + 2
        self.set_class(ascii_only, "ascii")

    def count(self) -> int:
        return len(self.rows)

    def line(self, index: int) -> Runs:
        return self.rows[index]


class Dialog(ModalScreen[ResultT], Generic[ResultT], inherit_bindings=False):
    """A card that has the keys until it is closed."""

    def __init__(self, title: str, lines: Sequence[Runs], hint: str) -> None:
        super().__init__()
        self._parts = (title, lines, hint)

    @property
    def floor(self) -> "Shopfloor":
        return cast("Shopfloor", self.app)

    @property
    def card(self) -> Card:
        return self.query_one(Card)

    def compose(self) -> ComposeResult:
        title, lines, hint = self._parts
        room = self.app.size.width * 96 // 100 - FRAME
        yield Card(title, lines, hint, room=room, palette=self.floor.palette, ascii_only=self.floor.ascii_only)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self.pressed(key_name(event.key, event.character))

    def pressed(self, key: str) -> None:
        """A key, by its name in the registry."""
        if key in {"escape", "q"}:
            self.dismiss(None)
        elif key in {"j", "down"}:
            self.card.scroll_lines(1)
        elif key in {"k", "up"}:
            self.card.scroll_lines(-1)
        elif key in {"pagedown", "space", "ctrl+f"}:
            self.card.do_move_page_down()
        elif key in {"pageup", "ctrl+u"}:
            self.card.do_move_page_up()


class Instead(NamedTuple):
    """A third answer to a question: its key, its words, what it does."""

    key: str
    said: str
    do: Callable[[], None]


class Question(Dialog[bool], inherit_bindings=False):
    """Says what will happen, and waits for `y`; anything that is not a yes leaves all as it is."""

    def __init__(
        self, title: str, said: Sequence[str], *, yes: str, loses: str = "", instead: Instead | None = None
    ) -> None:
        self._instead = instead
        lines: list[Runs] = [[Run(line)] for line in said]
        if loses:
            lines.append([Run(loses, Tone.WANTS)])
        lines += [
            [],
            [Run("y", Tone.ACCENT, bold=True), Run(f"  {yes}")],
            *([[Run(instead.key, Tone.ACCENT, bold=True), Run(f"  {instead.said}")]] if instead else []),
            [Run("n", Tone.ACCENT, bold=True), Run("  leave it as it is")],
        ]
        super().__init__(title, lines, "")

    def pressed(self, key: str) -> None:
        if key == "y":
            self.dismiss(True)
        elif key in {"n", "escape", "q"}:
            self.dismiss(False)
        elif self._instead is not None and key == self._instead.key:
            self.dismiss(False)
            self.floor.call_later(self._instead.do)


class Choice(Dialog[str], inherit_bindings=False):
    """One of some words; `tried` is told where the cursor stands."""

    def __init__(
        self, title: str, words: Sequence[str], chosen: str, tried: Callable[[str], None] | None = None
    ) -> None:
        self._words = list(words)
        self._at = self._words.index(chosen) if chosen in self._words else 0
        self._tried = tried
        super().__init__(title, self._rows(), "enter takes it, esc leaves it")

    def pressed(self, key: str) -> None:
        if key in {"j", "down", "k", "up"}:
            step = 1 if key in {"j", "down"} else -1
            self._at = (self._at + step) % len(self._words)
            self.card.rows = self._rows()
            self.card.reread()
            if self._tried is not None:
                self._tried(self._words[self._at])
        elif key == "enter":
            self.dismiss(self._words[self._at])
        elif key in {"escape", "q"}:
            self.dismiss(None)

    def _rows(self) -> list[Runs]:
        return [
            [
                Run("▸ " if index == self._at else "  ", Tone.ACCENT),
                Run(word, Tone.ACCENT if index == self._at else Tone.TEXT, bold=index == self._at),
            ]
            for index, word in enumerate(self._words)
        ]
