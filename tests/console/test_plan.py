"""Where panes stand: whatever the size, they fit, they don't overlap, and the one in hand is there."""

from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Size

from console.plan import Planner, Slot, overview, task_page
from console.screens.overview import Overview
from console.screens.task import TaskPage

SIZES = st.builds(Size, st.integers(40, 320), st.integers(8, 120))


def check(planner: Planner, size: Size, current: str, zoomed: bool) -> dict[str, Slot]:
    plan = planner(size, current, zoomed)
    top = 2 if plan.tabs else 1
    cells = 0
    for slot in plan.slots.values():
        whole = slot.rule.union(slot.body)
        assert whole.height >= 2
        assert whole.y >= top
        assert whole.bottom <= size.height - 1
        assert whole.x >= 0
        assert whole.right <= size.width
        cells += whole.area
    seam = size.height - 2 if plan.seam is not None else 0
    assert cells + seam == size.width * (size.height - 1 - top), "panes overlap, or leave a hole"
    assert current in plan.slots
    return dict(plan.slots)


@given(SIZES, st.sampled_from(Overview.PANES), st.booleans())
def test_the_overview_fits_any_terminal(size: Size, current: str, zoomed: bool) -> None:
    slots = check(overview, size, current, zoomed)
    assert not zoomed or list(slots) == [current]


@given(SIZES, st.sampled_from(TaskPage.PANES), st.booleans())
def test_a_tasks_page_fits_any_terminal(size: Size, current: str, zoomed: bool) -> None:
    check(task_page, size, current, zoomed)


def test_the_panes_stand_together_where_there_is_room() -> None:
    assert list(overview(Size(80, 24), "queue", False).slots) == ["queue", "log"]
    assert {"queue", "log", "jobs", "phases", "costs", "approvals"} == set(
        overview(Size(120, 30), "queue", False).slots
    )
    assert list(overview(Size(200, 50), "events", False).slots) == ["events"]


def test_too_small_is_said() -> None:
    assert overview(Size(39, 24), "queue", False).too_small
    assert task_page(Size(80, 7), "facts", False).too_small
