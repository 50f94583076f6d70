"""The registry: what can be done, where, why not; and what is typed after the colon."""

import pytest

from console.actions import ACTIONS, BY_WORD, title, why_not
from console.actions import BY_ID as ACTION
from console.app import Shopfloor
from console.commands import Command, Misunderstood, parse_command
from console.deeds import Deeds
from console.keymap import RESERVED
from console.panes.jobs import JobsPane
from console.panes.log import LogPane
from console.panes.queue import QueuePane
from console.screens.overview import Overview
from console.screens.task import TaskPage
from console.situation import Place, Situation, Subject
from console.widgets.sheet import Sheet

QUEUE = (Place.QUEUE, Place.LIST, Place.OVERVIEW, Place.ANYWHERE)
PANES = {Place.QUEUE: QueuePane, Place.LIST: JobsPane, Place.LOG: LogPane, Place.SHEET: Sheet}
DESKS = {Place.OVERVIEW: Overview, Place.TASK: TaskPage}


def test_no_id_and_no_word_is_there_twice() -> None:
    words = [word for action in ACTIONS for word in action.words]
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)
    assert len(set(words)) == len(words)


def test_no_default_key_belongs_to_the_terminal() -> None:
    assert not [(action.id, key) for action in ACTIONS for key in action.keys if key in RESERVED]


@pytest.mark.parametrize("place", list(Place))
def test_a_key_does_one_thing_in_a_place(place: Place) -> None:
    keys = [key for action in ACTIONS if place in action.where for key in action.keys]
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_someone_who_does_it_wherever_it_works(action: object) -> None:
    """A title without a deed would crash at the key."""
    action = ACTION[action.id]  # type: ignore[attr-defined]
    kind, _, name = action.id.partition(".")
    if (kind == "pane" and name.isdigit()) or (kind == "go" and name != "back"):
        return
    method = f"do_{action.id.replace('.', '_')}"
    everywhere = (Shopfloor, Deeds)
    for place in action.where:
        doers = [PANES[place]] if place in PANES else [DESKS[place]] if place in DESKS else []
        assert any(hasattr(doer, method) for doer in (*doers, *everywhere, *DESKS.values())), f"{action.id} in {place}"


def test_what_destroys_asks() -> None:
    assert all(ACTION[one].asks for one in ("task.cancel", "task.retry", "queue.pause"))


@pytest.mark.parametrize(
    ("action", "situation", "says"),
    [
        ("task.cancel", Situation(QUEUE), "no task under the cursor"),
        ("task.cancel", Situation(QUEUE, subject=Subject("a", "sweep", "completed")), "sweep has ended (completed)"),
        ("task.cancel", Situation(QUEUE, live=False, subject=Subject("a", "s", "running")), "while the engine is gone"),
        ("task.cancel", Situation((Place.LOG, Place.ANYWHERE)), "works in the queue and a task's page"),
        (
            "task.retry",
            Situation(QUEUE, subject=Subject("a", "sweep", "running")),
            "only what has ended; sweep is running",
        ),
        ("task.raise", Situation(QUEUE, subject=Subject("a", "sweep", "running")), "only until it starts"),
        ("queue.pause", Situation(QUEUE, paused=True), "paused already"),
        ("queue.resume", Situation(QUEUE), "not paused"),
        ("mark.none", Situation(QUEUE), "nothing is marked"),
        ("list.unfilter", Situation(QUEUE), "no filter"),
    ],
)
def test_an_action_says_why_not(action: str, situation: Situation, says: str) -> None:
    reason = why_not(ACTION[action], situation)
    assert reason is not None
    assert says in reason


def test_marks_stand_in_for_the_task_under_the_cursor() -> None:
    ended = Subject("a", "sweep", "completed")
    assert why_not(ACTION["task.cancel"], Situation(QUEUE, subject=ended, marked=3)) is None


def test_a_command_is_understood_by_its_beginning() -> None:
    assert parse_command("cancel name:sweep") == Command(ACTION["task.cancel"], "name:sweep")
    assert parse_command("  pau for lunch ") == Command(ACTION["queue.pause"], "for lunch")
    assert parse_command("sort -priority") == Command(ACTION["list.sort"], "-priority")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("frobnicate", "is no command"),
        ("re", "could be"),
        ("help me", "takes nothing after it"),
        ("sort", "wants FIELD"),
        ("", "could be"),
    ],
)
def test_a_command_that_is_not_understood_says_what_was_expected(line: str, says: str) -> None:
    understood = parse_command(line)
    assert isinstance(understood, Misunderstood)
    assert says in understood.reason


def test_the_headless_verbs_find_their_titles() -> None:
    assert title("task.cancel") == "cancel"
    assert BY_WORD["submit"].id == "task.submit"
