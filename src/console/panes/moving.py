"""The moves of the registry, for a pane whose widget knows how to move."""

from typing import Protocol


class Movable(Protocol):
    def move(self, lines: int, /) -> None: ...
    def page(self, pages: int, /) -> None: ...
    def home(self) -> None: ...
    def end(self) -> None: ...
    def pan(self, columns: int, /) -> None: ...
    @property
    def pan_step(self) -> int: ...


class Moving:
    """`pan_step` is how many columns a move to the side goes."""

    pan_step = 1

    def do_move_down(self: Movable) -> None:
        self.move(1)

    def do_move_up(self: Movable) -> None:
        self.move(-1)

    def do_move_page_down(self: Movable) -> None:
        self.page(1)

    def do_move_page_up(self: Movable) -> None:
        self.page(-1)

    def do_move_top(self: Movable) -> None:
        self.home()

    def do_move_bottom(self: Movable) -> None:
        self.end()

    def do_move_left(self: Movable) -> None:
        self.pan(-self.pan_step)

    def do_move_right(self: Movable) -> None:
        self.pan(self.pan_step)
