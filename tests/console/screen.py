"""Helpers to drive the console in a test: build it on canned answers or an engine, read its screen, wait for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input

from console.app import Shopfloor
from console.client import Endpoint, EngineGone, find_endpoint
from tests.console.canned import CannedLink, answers

PLAIN = {"LANG": "C.UTF-8"}
WITHIN_S = 10.0


def nowhere() -> Endpoint:
    raise EngineGone("no engine runs here: start one with `shopfloor engine start`")


def canned_app(
    folder: Path, *, link: CannedLink | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Shopfloor, CannedLink]:
    link = link or CannedLink(answers())
    app = Shopfloor(nowhere, folder=folder, environment=environment or PLAIN, link=link)  # type: ignore[arg-type]
    return app, link


class Screen:
    """A running console: its pilot, and what a person would see."""

    def __init__(self, app: Shopfloor, pilot: Pilot[None], link: Any = None) -> None:
        self.app, self.pilot, self.link = app, pilot, link

    def text(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Into the input that has the keys, as a paste: quicker than key by key, and the same to it."""
        await self.until(lambda: isinstance(self.app.focused, Input), "waiting for a line to type into")
        assert self.app.focused is not None
        self.app.focused.post_message(Paste(text))
        await self.pilot.pause()

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, f"{what or 'it never came'}:\n{self.text()}"
            await self.pilot.pause(0.02)

    async def shows(self, *texts: str) -> str:
        """Wait until all of it stands on the screen; the screen."""
        await self.until(lambda: all(text in self.text() for text in texts), f"waiting for {texts}")
        return self.text()

    async def hides(self, text: str) -> None:
        await self.until(lambda: text not in self.text(), f"waiting for {text!r} to go")


@asynccontextmanager
async def canned(
    folder: Path,
    size: tuple[int, int] = (80, 24),
    *,
    link: CannedLink | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Screen]:
    """The console on canned answers, its first rows there."""
    app, link = canned_app(folder, link=link, environment=environment)
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot, link)
        await screen.until(lambda: app.mirror.tasks.loaded and app.mirror.stats is not None)
        await pilot.pause()
        yield screen


@asynccontextmanager
async def on_engine(home: Path, folder: Path, size: tuple[int, int] = (100, 30)) -> AsyncIterator[Screen]:
    """The console on a real engine."""
    app = Shopfloor(lambda: find_endpoint(home), folder=folder, environment=PLAIN)
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot)
        await screen.shows("● live")
        yield screen
    await asyncio.sleep(0)
