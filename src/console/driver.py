"""Textual's terminal driver, with the mouse to be switched while it runs, and a way to write to the terminal."""

from typing import TYPE_CHECKING, Protocol, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from console.app import Shopfloor


class Switchable(Protocol):
    """A terminal whose mouse can be taken and given back."""

    def set_mouse(self, on: bool) -> None: ...
    def write(self, data: str) -> None: ...


class FloorDriver(LinuxDriver):
    def start_application_mode(self) -> None:
        cast("Shopfloor", self._app).terminal = self
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def set_mouse(self, on: bool) -> None:
        """Have the mouse's events, or leave the mouse to the terminal's own selection."""
        if on:
            self._mouse = True
            self._enable_mouse_support()
        else:
            self._disable_mouse_support()
            self._mouse = False
        self.flush()
