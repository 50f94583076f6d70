"""What is done now and then while the engine runs: old output and old events go."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

log = logging.getLogger(__name__)

Chore = Callable[[], Awaitable[object]]

_FIRST_S: Final = 60.0
_EVERY_S: Final = 3600.0


class Maintenance:
    """Does each chore soon after the start and then once an hour. One that fails is tried again the next time."""

    def __init__(self, chores: Mapping[str, Chore]) -> None:
        self._chores = chores
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_on())

    async def close(self) -> None:
        """Stop; a chore that runs is cut short, and none minds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep_on(self) -> None:
        wait = _FIRST_S
        while True:
            await asyncio.sleep(wait)
            wait = _EVERY_S
            for name, chore in self._chores.items():
                try:
                    await chore()
                except Exception:
                    log.exception("%s failed; it is tried again in an hour", name)
