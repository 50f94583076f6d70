"""How the console writes a state, an age, a size, an amount: short, right-alignable, with an ASCII fallback."""

import os
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Tone(StrEnum):
    """How loud a piece of text is. Colour is kept for what wants a person: `wants` and `bad`."""

    TEXT = "text"
    DIM = "dim"
    RULE = "rule"
    ACCENT = "accent"
    GOOD = "good"
    WANTS = "wants"
    BAD = "bad"


class Mark(NamedTuple):
    """What stands for a state: a glyph, its ASCII fallback, and how loud it is."""

    glyph: str
    ascii: str
    tone: Tone


MARKS: Mapping[str, Mark] = {
    "blocked": Mark("◌", "|", Tone.DIM),
    "queued": Mark("·", ".", Tone.DIM),
    "preparing": Mark("▷", "~", Tone.TEXT),
    "running": Mark("▶", ">", Tone.ACCENT),
    "collecting": Mark("▣", "=", Tone.TEXT),
    "waiting": Mark("◆", "?", Tone.WANTS),
    "completed": Mark("✔", "+", Tone.GOOD),
    "failed": Mark("✖", "X", Tone.BAD),
    "cancelled": Mark("⊘", "/", Tone.DIM),
    "skipped": Mark("↷", "-", Tone.DIM),
    "timed_out": Mark("✖", "X", Tone.BAD),
    "interrupted": Mark("✖", "X", Tone.BAD),
    "pending": Mark("·", ".", Tone.DIM),
    "passed": Mark("✔", "+", Tone.GOOD),
    "succeeded": Mark("✔", "+", Tone.GOOD),
    "starting": Mark("▷", "~", Tone.TEXT),
    "stopping": Mark("▣", "=", Tone.TEXT),
    "stopped": Mark("·", ".", Tone.DIM),
    "error": Mark("✖", "X", Tone.BAD),
    "approved": Mark("✔", "+", Tone.GOOD),
    "rejected": Mark("⊘", "/", Tone.DIM),
    "live": Mark("●", "*", Tone.GOOD),
    "connecting": Mark("○", "o", Tone.WANTS),
    "lost": Mark("✖", "X", Tone.BAD),
}
UNKNOWN = Mark("?", "?", Tone.TEXT)

PLAIN = str.maketrans(
    {
        **dict.fromkeys("─", "-"),
        **dict.fromkeys("│┬┴├┤┼", "|"),
        "▸": ">",
        "▴": "^",
        "▾": "v",
        "…": "~",
        "·": "|",
        "●": "*",
        "◆": "?",
        "→": ">",
        "█": "#",
        "▌": "#",
        "▏": "|",
        "░": ".",
        "↑": "^",
        "↓": "v",
        "←": "<",
        "✔": "+",
        "✖": "X",
        "▶": ">",
    }
)
"""What the frame is drawn with where the terminal knows ASCII alone; each stands for one character by one."""


def mark_of(state: str) -> Mark:
    return MARKS.get(state, UNKNOWN)


def status(state: str, *, ascii_only: bool) -> str:
    """A glyph and a word, never a colour alone: `▶ running`, or `> running`."""
    mark = mark_of(state)
    return f"{mark.ascii if ascii_only else mark.glyph} {state.replace('_', ' ')}"


def speaks_unicode(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the locale says that the terminal takes UTF-8."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environment.get(name):
            return "utf" in value.lower().replace("-", "")
    return False


def age(seconds: float) -> str:
    """Six characters at most: `41s`, `3m12s`, `12m`, `2h05m`, `17h`, `2d`."""
    whole = max(0, int(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if whole < 60:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{second:02d}s"
    if minutes < 60:
        return f"{minutes}m"
    if hours < 10:
        return f"{hours}h{minute:02d}m"
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def size(count: float) -> str:
    """Bytes in one unit: `812 B`, `64.0 KB`, `1.2 GB`."""
    if count < 1000:
        return f"{int(count)} B"
    amount = float(count)
    for unit in ("KB", "MB", "GB", "TB"):
        amount /= 1024
        if amount < 1000:
            return f"{amount:.1f} {unit}" if amount < 100 else f"{amount:.0f} {unit}"
    return f"{amount / 1024:.1f} PB"


def money(amount: object) -> str:
    """Dollars: two places, four where it is less than a cent."""
    value = float(str(amount))
    return f"${value:.4f}" if 0 < abs(value) < 0.01 else f"${value:,.2f}"


def plural(count: int, noun: str) -> str:
    """`1 task`, `20 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clock(at: float) -> str:
    """A time of day here: `14:03:12`."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def moment(at: float | None) -> str:
    """A date and a time of day here, or a dash."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def shorten(text: str, width: int, *, ellipsis: str = "…") -> str:
    """The text in `width` characters at most, its end cut."""
    if len(text) <= width:
        return text
    return text[: max(0, width - len(ellipsis))] + ellipsis if width > len(ellipsis) else text[: max(0, width)]


def named(names: list[str], shown: int = 4) -> str:
    """`a, b, c and 17 more`."""
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[:shown])} and {len(names) - shown:,} more"
