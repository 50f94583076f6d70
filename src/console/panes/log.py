"""The log: what the task under the cursor prints."""

from typing import ClassVar

from console.formats import Tone, size
from console.mirror import Mirror
from console.panes.moving import Moving
from console.situation import Place
from console.widgets.ink import Run
from console.widgets.log_view import LogView

EMPTY = "What the task under the cursor prints will stand here."


class LogPane(Moving, LogView, inherit_bindings=False):
    """The log view as a pane: its caption, and the moves of the registry."""

    places: ClassVar[tuple[Place, ...]] = (Place.LOG,)
    pan_step = 16

    def __init__(self, mirror: Mirror, *, ascii_only: bool) -> None:
        super().__init__(mirror, empty=EMPTY, ascii_only=ascii_only, id="log")
        self.whose = ""

    def caption(self) -> tuple[list[Run], list[Run]]:
        if self.task_id is None:
            return [], []
        left = [Run(self.whose or self.task_id)]
        if self.attempt:
            left.append(Run(f" · attempt {self.attempt}", Tone.DIM))
        if self.output_size:
            left.append(Run(f" · {size(self.output_size)}", Tone.DIM))
        return left, self._state()

    def _state(self) -> list[Run]:
        searched = self._searched()
        return [*searched, *([Run(" · ", Tone.RULE)] if searched else []), self._followed()]

    def _searched(self) -> list[Run]:
        found = self.search_state
        if self.needle and self.searching:
            return [Run(f"looking for {self.needle}", Tone.ACCENT)]
        if self.needle and found is not None:
            if found.at is None:
                return [Run(found.trouble or f"no further {self.needle}", Tone.WANTS)]
            return [Run(f"/ {self.needle}", Tone.ACCENT)]
        return []

    def _followed(self) -> Run:
        if self.ended:
            return Run("ended", Tone.DIM)
        return Run("following", Tone.DIM) if self.following else Run("not following", Tone.WANTS)

    def do_log_next(self) -> None:
        self.next_match()

    def do_log_previous(self) -> None:
        self.previous_match()

    def do_log_follow(self) -> None:
        self.follow(not self.following)
