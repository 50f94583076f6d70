"""The engine's log: plain lines, in `logs/engine.log` of the home (rotated) and, in the foreground, on stderr."""

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

_BYTES: Final = 10 << 20
_FILES: Final = 5


class _Lines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z WARNING engine.api: what happened`, in UTC."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")


def start_log(folder: Path, level: str, foreground: bool) -> None:
    """Send the log of everything in this process to the folder and, if asked, to stderr."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    file = RotatingFileHandler(folder / "engine.log", maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8")
    handlers: list[logging.Handler] = [file]
    if foreground:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(_Lines())
        root.addHandler(handler)
    logging.raiseExceptions = False  # a full disk must not end what logs about it
    # uvicorn tells of each WebSocket with its whole address, and that may carry a browser's key
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, root.level))
