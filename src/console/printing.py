"""What the verbs print: JSON, aligned tables, facts. No box; colour only for a terminal that wants it."""

import json
import os
import re
import shlex
import shutil
import sys
import time
import unicodedata
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
    widths = [max([len(column.title), *(_places(row[i]) for row in cells)]) for i, column in enumerate(columns)]
    edge = shutil.get_terminal_size().columns if is_terminal() else None
    colour = may_colour()
    out(_line(columns, _padded(columns, [column.title for column in columns], widths), edge, colour=False))
    for row in cells:
        out(_line(columns, _padded(columns, row, widths), edge, colour=colour))


def _padded(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> list[str]:
    padded = []
    for column, cell, width in zip(columns, row, widths, strict=True):
        blank = " " * (width - _places(cell))
        padded.append(blank + cell if column.right else cell + blank)
    return padded


def _line(columns: Sequence[Column], padded: Sequence[str], edge: int | None, *, colour: bool) -> str:
    text = "  ".join(padded).rstrip()
    if edge is not None:
        text = _cut(text, edge)
    return _tinted(text, columns, padded) if colour else text


def _tinted(text: str, columns: Sequence[Column], padded: Sequence[str]) -> str:
    at = 0
    for column, cell in zip(columns, padded, strict=True):
        word = cell.strip()
        tone = _TONES.get(formats.mark_of(word).tone) if column.state else None
        if tone and text[at : at + len(word)] == word:
            return f"{text[:at]}\x1b[{tone}m{word}\x1b[0m{text[at + len(word) :]}"
        at += len(cell) + 2
    return text


def _places(text: str) -> int:
    """How many places of a terminal's line it takes."""
    return len(text) if text.isascii() else sum(map(_place, text))


def _place(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _cut(text: str, edge: int) -> str:
    """The text in `edge` places at most; the last of them says that there is more."""
    if _places(text) <= edge:
        return text
    kept, taken = list[str](), 1
    for letter in text:
        taken += _place(letter)
        if taken > edge:
            break
        kept.append(letter)
    return f"{''.join(kept)}…"


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


def why_of(task: dict[str, Any]) -> str:
    """Why a task is where it is; empty where nothing needs a reason. Beside the state, which it does not repeat."""
    error, reason = task.get("error") or "", task.get("reason") or ""
    return reason if reason and error.endswith(reason) else error or reason


def ask_of(task: dict[str, Any]) -> str:
    """What a task asks for: `2 cpu 8 GB 1 gpu`."""
    asks = [f"{task['cpu']} cpu"]
    if task["memory_gb"]:
        asks.append(f"{task['memory_gb']} GB")
    if task["gpu"]:
        asks.append(f"{task['gpu']} gpu")
    return " ".join(asks)
