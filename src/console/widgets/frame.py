"""Everything on a screen that is not a pane's body: header, tabs, rules with their titles, footer.

One widget beneath all others, so that a changed count costs its own few cells and a pane costs no widgets of
decoration.
"""

from collections.abc import Sequence
from typing import Protocol

from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from console.formats import Tone
from console.plan import Plan
from console.themes import Palette
from console.widgets.ink import Run, spread, strip_of, width_of

LINE = Run("─", Tone.RULE)
BLANK = Run(" ", Tone.TEXT)


class Framed(Protocol):
    """What the frame asks of its screen."""

    @property
    def plan(self) -> Plan: ...
    @property
    def palette(self) -> Palette: ...
    @property
    def ascii_only(self) -> bool: ...
    def header(self) -> tuple[Sequence[Run], Sequence[Run]]: ...
    def tabs(self) -> Sequence[tuple[str, Sequence[Run]]]: ...
    def caption(self, pane: str) -> tuple[Sequence[Run], Sequence[Run]]: ...
    def footer(self) -> tuple[Sequence[Run], Sequence[Run]]: ...
    def jump(self, pane: str) -> None: ...


class Frame(Widget):
    """Draws the frame of `desk`; `redraw` compares and repaints the cells that differ."""

    def __init__(self, desk: Framed) -> None:
        super().__init__(id="frame")
        self._desk = desk
        self._lines: dict[int, list[Run]] = {}

    def redraw(self, *, whole: bool = False) -> None:
        """Draw what changed since the last time; all of it where the plan is another one."""
        lines = self._compose_lines()
        if whole or lines.keys() != self._lines.keys():
            self._lines = lines
            self.refresh()
            return
        for y, runs in lines.items():
            if (extent := _difference(self._lines[y], runs)) is not None:
                self._lines[y] = runs
                first, last = extent
                self.refresh(Region(first, y, last - first, 1))
        self._lines = lines

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        runs = self._lines.get(y)
        if runs is None:
            return Strip.blank(width, self.rich_style)
        return strip_of(runs, width, self._desk.palette, self.rich_style, ascii_only=self._desk.ascii_only)

    def on_click(self, event: events.Click) -> None:
        """A click on a tab or a title goes to its pane."""
        plan = self._desk.plan
        if plan.tabs and event.y == 1:
            x = 0
            for pane, runs in self._desk.tabs():
                x += width_of(runs)
                if event.x < x:
                    self._desk.jump(pane)
                    return
        for pane, slot in plan.slots.items():
            if slot.rule.contains(event.x, event.y):
                self._desk.jump(pane)

    def _compose_lines(self) -> dict[int, list[Run]]:
        desk = self._desk
        plan = desk.plan
        width, height = plan.size
        if plan.too_small:
            return {height // 2: [Run("too small: 40x8 at least", Tone.WANTS)]}
        lines = {0: spread(*desk.header(), width, BLANK), height - 1: spread(*desk.footer(), width, BLANK)}
        if plan.tabs:
            lines[1] = spread([run for _, runs in desk.tabs() for run in runs], (), width, BLANK)
        rules: dict[int, dict[int, tuple[int, list[Run]]]] = {}
        for pane, slot in plan.slots.items():
            rules.setdefault(slot.rule.y, {})[slot.rule.x] = (slot.rule.width, self._rule(pane, slot.rule.width))
        if plan.seam is None:
            lines |= {y: next(iter(parts.values()))[1] for y, parts in rules.items()}
        else:
            lines |= {y: _joined(rules.get(y, {}), plan.seam, y == 1) for y in range(1, height - 1)}
        return lines

    def _rule(self, pane: str, width: int) -> list[Run]:
        left, right = self._desk.caption(pane)
        ends = [Run(" ", Tone.RULE), *right, Run(" ─", Tone.RULE)] if right else [LINE]
        return spread([Run("─ ", Tone.RULE), *left, Run(" ", Tone.RULE)], ends, width, LINE)


def _joined(parts: dict[int, tuple[int, list[Run]]], seam: int, top: bool) -> list[Run]:
    """A line with the upright line in it, joined to the rules that meet it."""
    left, right = parts.get(0), parts.get(seam + 1)
    joint = {
        (True, True): "┬" if top else "┼",
        (True, False): "┤",
        (False, True): "├",
        (False, False): "│",
    }[bool(left), bool(right)]
    before = left[1] if left else [BLANK._replace(text=" " * seam)]
    return [*before, Run(joint, Tone.RULE), *(right[1] if right else ())]


def _cells(runs: Sequence[Run]) -> list[tuple[str, Tone, bool]]:
    return [(char, run.tone, run.bold) for run in runs for char in run.text]


def _difference(was: Sequence[Run], now: Sequence[Run]) -> tuple[int, int] | None:
    """The first cell that differs and the one after the last."""
    if was == now:
        return None
    old, new = _cells(was), _cells(now)
    longest = max(len(old), len(new))
    if len(old) != len(new):
        return 0, longest
    differ = [x for x in range(longest) if old[x] != new[x]]
    return (differ[0], differ[-1] + 1) if differ else None
