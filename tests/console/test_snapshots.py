"""A few pictures that must come out the same: the sizes and themes that people meet first."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.console.screen import canned_app

SnapCompare = Callable[..., bool]


def keys(*pressed: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """Waits for the first rows and their log, then presses keys."""

    async def run(pilot: Pilot[Any]) -> None:
        app: Any = pilot.app
        log = app.desk.pane("log")
        while not (app.mirror.tasks.loaded and app.mirror.stats and (log is None or log.output_size)):
            await pilot.pause(0.01)
        await pilot.press(*pressed)
        await pilot.pause(0.2)

    return run


@pytest.mark.parametrize(
    ("size", "environment", "pressed"),
    [
        pytest.param((80, 24), {}, (), id="narrow"),
        pytest.param((200, 50), {}, (), id="wide"),
        pytest.param((80, 24), {"SHOPFLOOR_CONSOLE__THEME": "paper"}, ("space", "space", "x"), id="narrow-light"),
        pytest.param((120, 30), {"NO_COLOR": "1"}, (), id="wide-monochrome"),
        pytest.param((80, 24), {"SHOPFLOOR_CONSOLE__ASCII": "1"}, ("?",), id="narrow-ascii"),
        pytest.param((80, 24), {}, ("n",), id="form"),
    ],
)
def test_picture(
    size: tuple[int, int],
    environment: dict[str, str],
    pressed: tuple[str, ...],
    tmp_path: Path,
    snap_compare: SnapCompare,
) -> None:
    app, _ = canned_app(tmp_path, environment={"LANG": "C.UTF-8", **environment})
    assert snap_compare(app, terminal_size=size, run_before=keys(*pressed))
