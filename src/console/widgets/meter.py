"""Small charts of one line: how full something is, how something went."""

from collections.abc import Sequence

BLOCKS = " ▏▎▍▌▋▊▉█"
STEPS = "▁▂▃▄▅▆▇█"
ASCII_STEPS = "_.-=+*#@"


def bar(part: float, whole: float, width: int, *, ascii_only: bool = False) -> str:
    """`part` of `whole` as a bar of exactly `width` characters; empty where there is no whole."""
    if width <= 0:
        return ""
    share = 0.0 if whole <= 0 else max(0.0, min(1.0, part / whole))
    if ascii_only:
        full = round(share * width)
        return "#" * full + "." * (width - full)
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return (BLOCKS[8] * full + (BLOCKS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """The last `width` values as heights from zero to the largest of them."""
    steps = ASCII_STEPS if ascii_only else STEPS
    last = [max(0.0, value) for value in values[-width:]] if width > 0 else []
    top = max(last, default=0.0)
    if top <= 0:
        return steps[0] * len(last)
    return "".join(steps[min(len(steps) - 1, int(value / top * (len(steps) - 1) + 0.5))] for value in last)
