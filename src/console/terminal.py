"""What kind of terminal this is, and what to do when it goes away. Used before textual is imported.

care = prepare()                  # sets what textual reads when it is imported
app.run(mouse=care.mouse)
watch_terminal(app)               # once the app runs: a hang-up ends it cleanly
"""

import asyncio
import base64
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from console.formats import speaks_unicode

FPS_OVER_SSH = 10
SWITCH_S = 0.001
"""How long the screen's thread may keep the link's threads waiting; Python's own 5 ms add up over the first windows."""

TMUX_S = 2.0


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the environment says: over SSH, inside tmux, without colour, without glyphs beyond ASCII."""

    ssh: bool
    tmux: bool
    no_color: bool
    ascii_only: bool

    @property
    def mouse(self) -> bool:
        """Over SSH the terminal's own selection is worth more than ours."""
        return not self.ssh

    @property
    def wake_every_s(self) -> float:
        """How often news may reach the screen."""
        return 0.1 if self.ssh else 0.05


def look(environment: Mapping[str, str] = os.environ) -> Terminal:
    """SSH is told by `SSH_CONNECTION`: `SSH_TTY` is lost inside tmux and sudo."""
    return Terminal(
        ssh=bool(environment.get("SSH_CONNECTION")),
        tmux=bool(environment.get("TMUX")),
        no_color=bool(environment.get("NO_COLOR")),
        ascii_only=not speaks_unicode(environment),
    )


def prepare(environment: MutableMapping[str, str] = os.environ) -> Terminal:
    """Sets what textual reads at import, where a person hasn't: nothing is animated, over SSH less is drawn."""
    terminal = look(environment)
    sys.setswitchinterval(SWITCH_S)
    environment.setdefault("TEXTUAL_ANIMATIONS", "none")
    environment.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if terminal.ssh:
        environment.setdefault("TEXTUAL_FPS", str(FPS_OVER_SSH))
    return terminal


class Leaving(Protocol):
    """The part of a textual app that is needed to end it."""

    def exit(self, result: Any = None, return_code: int = 0) -> None: ...


def watch_terminal(app: Leaving, fd: int | None = None) -> Callable[[], None]:
    """Ends the app when the terminal hangs up: at SIGHUP, and when reading from it has come to an end.

    Textual's own input thread goes on reading a terminal that is gone, and takes a whole core for it. To be called
    on the running loop; returns how to end the watch.
    """
    loop = asyncio.get_running_loop()
    over = threading.Event()

    def leave() -> None:
        app.exit(return_code=129)

    def hung_up() -> None:
        over.set()
        leave()

    loop.add_signal_handler(signal.SIGHUP, hung_up)
    terminal = _input(fd)
    if terminal is not None:
        watcher = threading.Thread(
            target=_await_end, args=(terminal, over, loop, leave), name="terminal-watch", daemon=True
        )
        watcher.start()

    def end() -> None:
        over.set()
        loop.remove_signal_handler(signal.SIGHUP)

    return end


def _input(fd: int | None) -> int | None:
    if fd is not None:
        return fd
    try:
        return sys.__stdin__.fileno() if sys.__stdin__ is not None else None
    except (OSError, ValueError):
        return None


def _await_end(fd: int, over: threading.Event, loop: asyncio.AbstractEventLoop, leave: Callable[[], None]) -> None:
    """Sleeps in the kernel until the terminal has hung up: asked for no event, poll reports that one alone."""
    poll = select.poll()
    poll.register(fd, 0)
    while not over.is_set():
        if any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(None)):
            if not over.is_set():
                loop.call_soon_threadsafe(leave)
            return


def copy(text: str, write: Callable[[str], object], environment: Mapping[str, str] = os.environ) -> str:
    """Puts text on the clipboard of the terminal in front of the person; returns how, in a few words.

    OSC 52 can get lost inside tmux, which has a way of its own.
    """
    if environment.get("TMUX") and shutil.which("tmux"):
        try:
            subprocess.run(
                ["tmux", "load-buffer", "-w", "-"], input=text.encode(), timeout=TMUX_S, check=True, capture_output=True
            )
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            return "copied through tmux"
    write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a")
    return "copied"
