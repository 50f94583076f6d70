"""Where each pane stands: plain arithmetic from the terminal's size to regions, and the layout that applies it.

A screen is a header line, a line of numbered tabs where panes are hidden, panes with their title in a thin rule
above them, and a footer line. Panes that are not in the plan are not on the screen and cost nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement

if TYPE_CHECKING:
    from textual.widget import Widget

SMALLEST = Size(40, 8)
"""Below this there is no room for a header, a row and a footer that mean anything."""

WIDE = Size(120, 28)
"""From here on the panes stand together."""

PREVIEW_FROM = 18
"""Lines from which there is a preview of the log under a list."""


class Slot(NamedTuple):
    """A pane's place: the rule above it, and its body."""

    rule: Region
    body: Region


class Plan(NamedTuple):
    """What stands where. `tabs`: the line of tabs is shown. `seam`: the column of the upright line, if any."""

    size: Size
    slots: Mapping[str, Slot] = {}
    tabs: bool = False
    seam: int | None = None
    too_small: bool = False


Planner = Callable[[Size, str, bool], Plan]
"""(size, the pane in hand, whether it has the whole screen) -> plan."""


def slot(x: int, y: int, width: int, height: int) -> Slot:
    """A pane of `height` lines, the first of them its rule."""
    return Slot(Region(x, y, width, 1), Region(x, y + 1, width, height - 1))


def stack(names: Sequence[str], x: int, y: int, width: int, height: int) -> dict[str, Slot]:
    """Panes one above the other in equal parts; the first ones get the lines that are left over."""
    each, more = divmod(height, len(names))
    slots: dict[str, Slot] = {}
    for index, name in enumerate(names):
        tall = each + (1 if index < more else 0)
        slots[name] = slot(x, y, width, tall)
        y += tall
    return slots


def alone(size: Size, current: str, beneath: str | None) -> Plan:
    """One pane at a time under the tabs, with a preview of another one beneath it where there is room."""
    top, bottom = 2, size.height - 1
    lines = bottom - top
    if beneath is None or beneath == current or size.height < PREVIEW_FROM:
        return Plan(size, {current: slot(0, top, size.width, lines)}, tabs=True)
    preview = max(5, lines * 3 // 10)
    return Plan(
        size,
        {
            current: slot(0, top, size.width, lines - preview),
            beneath: slot(0, bottom - preview, size.width, preview),
        },
        tabs=True,
    )


def overview(size: Size, current: str, zoomed: bool) -> Plan:
    """The queue and a log on the left, the rest on the right; one at a time where that has no room."""
    if size.width < SMALLEST.width or size.height < SMALLEST.height:
        return Plan(size, too_small=True)
    if zoomed:
        return alone(size, current, None)
    if size.width < WIDE.width or size.height < WIDE.height:
        return alone(size, current, "log" if current in {"queue", "jobs", "phases"} else None)
    lines = size.height - 2
    left = max(66, size.width * 58 // 100)
    log = lines * 2 // 5
    slots = {"queue": slot(0, 1, left, lines - log), "log": slot(0, 1 + lines - log, left, log)}
    slots |= stack(["jobs", "phases", "costs", "approvals"], left + 1, 1, size.width - left - 1, lines)
    if current not in slots:
        return alone(size, current, None)
    return Plan(size, slots, seam=left)


def task_page(size: Size, current: str, zoomed: bool) -> Plan:
    """A task's facts and what belongs to it on the left, its log on the right."""
    if size.width < SMALLEST.width or size.height < SMALLEST.height:
        return Plan(size, too_small=True)
    if zoomed:
        return alone(size, current, None)
    if size.width < WIDE.width or size.height < WIDE.height:
        return alone(size, current, "log" if current != "log" else None)
    lines = size.height - 2
    left = max(56, size.width * 40 // 100)
    facts = min(18, lines // 2)
    slots = {"facts": slot(0, 1, left, facts)}
    slots |= stack(["attempts", "events", "artifacts"], 0, 1 + facts, left, lines - facts)
    slots["log"] = slot(left + 1, 1, size.width - left - 1, lines)
    return Plan(size, slots, seam=left)


class DeskLayout(Layout):
    """Puts the widgets named in the plan into their slots; `frame` gets all of the screen, below the others."""

    name = "desk"

    def __init__(self, plan: Callable[[Size], Plan]) -> None:
        self._plan = plan

    def arrange(
        self,
        parent: "Widget",  # noqa: ARG002 - Textual's signature
        children: list["Widget"],
        size: Size,
        greedy: bool = True,  # noqa: ARG002
    ) -> ArrangeResult:
        plan = self._plan(size)
        whole = Region(0, 0, size.width, size.height)
        placed = {"frame": whole} | {name: one.body for name, one in plan.slots.items()}
        placements: list[WidgetPlacement] = []
        for child in children:
            if child.name == "prompt":
                tall = min(size.height, getattr(child, "tall", 2))
                region, order = Region(0, size.height - tall, size.width, tall), 2
            elif child.id in placed:
                region, order = placed[child.id], 0 if child.id == "frame" else 1
            else:
                continue
            placements.append(WidgetPlacement(region, NULL_OFFSET, Spacing(), child, order))
        return placements
