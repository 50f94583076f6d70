"""What the verbs print: JSON, aligned tables, facts. No box; colour only for a terminal that wants it."""

import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console import formats

_TONES = {
    formats.Tone.DIM: "2",
    formats.Tone.ACCENT: "36",
    formats.Tone.GOOD: "32",
    formats.Tone.WANTS: "33",
    formats.Tone.BAD: "31",
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `state` says that its cells are states, which a terminal may colour."""

    title: str
    right: bool = False
    state: bool = False


def is_terminal() -> bool:
    return sys.stdout.isatty()


def may_colour() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def out(text: str = "") -> None:
    """A line on stdout: what was asked for."""
    print(text)


def say(text: str) -> None:
    """A line on stderr: a remark, never the answer itself."""
    print(text, file=sys.stderr)


def document(value: object) -> None:
    """The whole answer as one JSON document."""
    out(json.dumps(value, indent=2, ensure_ascii=False))


def line(value: object) -> None:
    """One JSON object on a line of its own, at once: for what goes on for ever."""
    print(json.dumps(value, separators=(",", ":"), ensure_ascii=False), flush=True)


def plain(text: str) -> str:
    """Text from elsewhere on one line, unable to steer the terminal."""
    return _UNPRINTABLE.sub(lambda match: repr(match[0])[1:-1], text)


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Columns two spaces apart. On a terminal the last one is cut at the edge; in a pipe nothing is."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max([len(column.title), *(len(row[i]) for row in cells)]) for i, column in enumerate(columns)]
    edge = shutil.get_terminal_size().columns if is_terminal() else None
    colour = may_colour()
    out(_aligned(columns, [column.title for column in columns], widths, edge))
    for row in cells:
        text = _aligned(columns, row, widths, edge)
        out(_tinted(text, columns, row, widths) if colour else text)


def _aligned(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], edge: int | None) -> str:
    padded = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for column, cell, width in zip(columns, row, widths, strict=True)
    ]
    text = "  ".join(padded).rstrip()
    return formats.shorten(text, edge) if edge is not None else text


def _tinted(text: str, columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    at = 0
    for column, cell, width in zip(columns, row, widths, strict=True):
        tone = _TONES.get(formats.mark_of(cell).tone) if column.state else None
        if tone and text[at : at + len(cell)] == cell:
            return f"{text[:at]}\x1b[{tone}m{cell}\x1b[0m{text[at + len(cell) :]}"
        at += width + 2
    return text


def facts(pairs: Iterable[tuple[str, str | None]]) -> None:
    """`name  value` lines, without those that have no value."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        out(f"{name.ljust(width)}  {plain(value)}")


def seconds(moment: str | None) -> float | None:
    """Seconds since the epoch of a time on the wire."""
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def when(moment: str | None) -> str:
    """A time on the wire as a clock here shows it; a dash without one."""
    return formats.moment(seconds(moment))


def since(moment: str | None, until: str | None = None) -> str:
    """How long ago, or how long until: short; a dash without a beginning."""
    start = seconds(moment)
    if start is None:
        return "-"
    return formats.age((seconds(until) or time.time()) - start)


def command_of(task: dict[str, Any]) -> str:
    """What a task runs, as one would type it."""
    command = task.get("command")
    return shlex.join(command) if command else task.get("args") or ""


def ask_of(task: dict[str, Any]) -> str:
    """What a task asks for: `2 cpu 8 GB 1 gpu`."""
    asks = [f"{task['cpu']} cpu"]
    if task["memory_gb"]:
        asks.append(f"{task['memory_gb']} GB")
    if task["gpu"]:
        asks.append(f"{task['gpu']} gpu")
    return " ".join(asks)
