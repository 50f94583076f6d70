"""What a task printed, made fit for a terminal: nothing in it acts on the screen."""

import re

WIDEST = 1 << 16
"""Characters kept of one line; what is longer says how much more there is."""

TAB = 8

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)"  # OSC and other strings, up to their end or the line's
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]",
    re.DOTALL,
)


def overwritten(line: str) -> str:
    """What is left to see of a line with carriage returns in it: a progress bar's newest state."""
    if "\r" not in line:
        return line
    parts = [part for part in line.split("\r") if part]
    return parts[-1] if parts else ""


def shown(line: str) -> str:
    """A raw line (without its line feed) as it is drawn."""
    line = overwritten(line)
    if len(line) > WIDEST:
        line = f"{line[:WIDEST]} [{len(line) - WIDEST:,} more characters on this line]"
    if line.isprintable():
        return line
    if "\x1b" in line or "\x9b" in line:
        line = _SEQUENCES.sub("", line)
    if "\t" in line:
        line = line.expandtabs(TAB)
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() or char == " " else "" for char in line)
