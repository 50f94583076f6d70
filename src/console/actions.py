"""ONE registry of what can be done at the console.

Keys, the palette, the `:` commands, the footer and the help all come from `ACTIONS`; the headless verbs take
their titles from it. An action says where it works, what it needs, and so also why it can't be done now.
Standard library alone: the headless verbs read it too.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from console.situation import (
    Need,
    Place,
    Situation,
    a_filter,
    a_task,
    elsewhere,
    ended,
    engine,
    is_paused,
    is_running,
    marks,
    not_ended,
    not_started,
    tasks,
)


class Action(NamedTuple):
    """One thing that a person can do.

    `keys` are the defaults, `words` the `:` commands for it, `argument` what a command takes after its word
    (in capitals; in brackets if it may be left out), `complete` the kind of thing that completes it. `rank`
    orders the footer, 0 keeps it out of there.
    """

    id: str
    title: str
    help: str
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    argument: str = ""
    complete: str = ""
    where: frozenset[Place] = frozenset({Place.ANYWHERE})
    needs: tuple[Need, ...] = ()
    rank: int = 0
    short: str = ""
    asks: bool = False

    @property
    def label(self) -> str:
        """The one word that the footer has room for."""
        return self.short or self.title


def _at(*places: Place) -> frozenset[Place]:
    return frozenset(places)


TASKS = _at(Place.QUEUE, Place.TASK)
LISTS = _at(Place.LIST)
SCREENS = _at(Place.OVERVIEW, Place.TASK)
SIDEWAYS = _at(Place.LIST, Place.LOG)
MOVING = _at(Place.LIST, Place.LOG, Place.SHEET)

ACTIONS: tuple[Action, ...] = (
    # what is done with a task
    Action(
        "task.open",
        "open",
        "Open the task's page.",
        ("enter",),
        ("open",),
        "[ID]",
        "task",
        _at(Place.QUEUE),
        (a_task,),
        1,
    ),
    Action(
        "task.log",
        "log",
        "Go to its log.",
        ("l",),
        ("log",),
        where=TASKS,
        needs=(a_task,),
        rank=2,
    ),
    Action(
        "task.cancel",
        "cancel",
        "Cancel it, or all that are marked; asks.",
        ("x",),
        ("cancel",),
        "[FILTER]",
        "filter",
        TASKS,
        (engine, tasks, not_ended),
        3,
        asks=True,
    ),
    Action(
        "task.retry",
        "retry",
        "Run it again; memory_gb=16 changes what it asks.",
        ("r",),
        ("retry",),
        "[ASK=N]",
        "ask",
        TASKS,
        (engine, tasks, ended),
        4,
        asks=True,
    ),
    Action(
        "task.again",
        "submit again",
        "Fill the submit form from it.",
        ("N",),
        ("again",),
        where=TASKS,
        needs=(engine, a_task),
    ),
    Action(
        "task.raise",
        "raise priority",
        "One step up, for it or all that are marked.",
        ("+",),
        where=TASKS,
        needs=(engine, tasks, not_started),
    ),
    Action(
        "task.lower",
        "lower priority",
        "One step down, for it or all that are marked.",
        ("-",),
        where=TASKS,
        needs=(engine, tasks, not_started),
    ),
    Action(
        "task.priority",
        "set priority",
        "Set it, 1 to 10; 10 goes first.",
        (),
        ("priority",),
        "N",
        where=TASKS,
        needs=(engine, tasks, not_started),
    ),
    Action("copy.id", "copy id", "Copy the task's whole id.", ("y",), ("copy",), where=TASKS, needs=(a_task,)),
    Action("copy.row", "copy row", "Copy the row as text.", ("Y",), ("copy-row",), where=LISTS),
    # marks
    Action(
        "mark.toggle",
        "mark",
        "Mark or unmark it, and go on to the next.",
        ("space",),
        where=_at(Place.QUEUE),
        needs=(a_task,),
        rank=5,
    ),
    Action(
        "mark.all",
        "mark all",
        "Mark all that the filter lets through.",
        ("*",),
        ("mark-all",),
        where=_at(Place.QUEUE),
    ),
    Action(
        "mark.invert",
        "invert marks",
        "Mark what is not marked, unmark what is.",
        ("~",),
        ("mark-invert",),
        where=_at(Place.QUEUE),
    ),
    Action(
        "mark.none", "unmark all", "Take all marks away.", ("u",), ("unmark",), where=_at(Place.QUEUE), needs=(marks,)
    ),
    # lists
    Action(
        "list.filter",
        "filter",
        "text, /regex/, field:value; ! inverts.",
        ("/",),
        ("filter",),
        "[FILTER]",
        "filter",
        _at(Place.QUEUE),
        (),
        6,
    ),
    Action(
        "list.unfilter",
        "clear the filter",
        "Show everything again.",
        ("backspace",),
        ("nofilter",),
        where=_at(Place.QUEUE),
        needs=(a_filter,),
    ),
    Action(
        "list.sort",
        "sort",
        "Choose the column to sort by.",
        ("s",),
        ("sort",),
        "FIELD",
        "sort",
        _at(Place.QUEUE),
        (),
        7,
    ),
    Action("list.sort_left", "sort to the left", "Sort by the column to the left.", ("<",), where=_at(Place.QUEUE)),
    Action(
        "list.sort_right",
        "sort to the right",
        "Sort by the column to the right.",
        (">",),
        where=_at(Place.QUEUE),
    ),
    Action("list.flip", "flip the order", "Sort the other way round.", ("o",), where=_at(Place.QUEUE)),
    # the queue
    Action(
        "queue.pause",
        "pause the queue",
        "Start nothing further; what runs goes on.",
        ("p",),
        ("pause",),
        "[REASON]",
        where=_at(Place.OVERVIEW),
        needs=(engine, is_running),
        asks=True,
    ),
    Action(
        "queue.resume",
        "resume the queue",
        "Start tasks again.",
        ("P",),
        ("resume",),
        where=_at(Place.OVERVIEW),
        needs=(engine, is_paused),
    ),
    Action(
        "queue.limit",
        "limit a group",
        "How many of a group run at once, or none.",
        (),
        ("limit",),
        "GROUP N",
        needs=(engine,),
    ),
    Action(
        "task.submit",
        "submit",
        "The submit form, or submit this command.",
        ("n",),
        ("submit",),
        "[COMMAND]",
        needs=(engine,),
        rank=8,
        short="new",
    ),
    # the log
    Action("log.search", "search", "Find text in the log.", ("/",), ("search",), "TEXT", where=_at(Place.LOG), rank=1),
    Action(
        "log.next",
        "next match",
        "To the next place of the text.",
        ("n",),
        where=_at(Place.LOG),
        rank=2,
        short="next",
    ),
    Action("log.previous", "match before", "To the place before.", ("N",), where=_at(Place.LOG)),
    Action(
        "log.follow",
        "follow",
        "Stay at the end as it grows, or stop doing so.",
        ("f",),
        ("follow",),
        where=_at(Place.LOG),
        rank=3,
    ),
    Action(
        "log.attempt_before",
        "attempt before",
        "Show the log of the attempt before.",
        ("[",),
        where=_at(Place.TASK),
    ),
    Action("log.attempt_after", "next attempt", "Show the log of the next attempt.", ("]",), where=_at(Place.TASK)),
    # moving
    Action("move.down", "down", "One row down.", ("j", "down"), where=MOVING),
    Action("move.up", "up", "One row up.", ("k", "up"), where=MOVING),
    Action("move.page_down", "page down", "One page down.", ("pagedown", "ctrl+f"), where=MOVING),
    Action("move.page_up", "page up", "One page up.", ("pageup", "ctrl+u"), where=MOVING),
    Action("move.top", "top", "To the first row.", ("g", "home"), where=MOVING),
    Action("move.bottom", "bottom", "To the last row.", ("G", "end"), where=MOVING),
    Action("move.left", "left", "Further to the left.", ("h", "left"), where=SIDEWAYS),
    Action("move.right", "right", "Further to the right.", ("right",), where=SIDEWAYS),
    # panes
    Action("pane.next", "next pane", "To the next pane.", ("tab",), where=SCREENS),
    Action("pane.previous", "pane before", "To the pane before.", ("shift+tab",), where=SCREENS),
    Action(
        "pane.zoom",
        "zoom",
        "The whole screen for this pane, or back.",
        ("z",),
        ("zoom",),
        where=SCREENS,
        rank=9,
    ),
    *(
        Action(f"pane.{number}", f"pane {number}", f"To pane {number} of this screen.", (str(number),), where=SCREENS)
        for number in range(1, 9)
    ),
    *(
        Action(f"go.{name}", f"go to {name}", f"To the {name} pane.", (), (name,))
        for name in ("queue", "jobs", "phases", "costs", "approvals", "notebooks", "events")
    ),
    Action(
        "pane.back",
        "back",
        "Out of the zoom, or back to the queue.",
        ("escape",),
        where=_at(Place.OVERVIEW),
        needs=(elsewhere,),
        rank=10,
    ),
    # everywhere
    Action("go.back", "back", "Back to where you were.", ("escape", "q"), ("back",), where=_at(Place.TASK), rank=10),
    Action("command.line", "command", "Type a command; tab completes it.", (":",), rank=11),
    Action("command.palette", "palette", "Find a command by its name.", ("ctrl+p",), ("palette",)),
    Action("theme.choose", "theme", "Choose another theme.", ("T",), ("theme",), "[NAME]", "theme"),
    Action("mouse.toggle", "mouse", "Take the mouse, or leave it to the terminal.", ("m",), ("mouse",)),
    Action("faults.show", "faults", "What is wrong in the config folder.", (), ("faults",)),
    Action("help.show", "keys", "All keys of where you are.", ("?", "f1"), ("help",), rank=12),
    Action("app.quit", "quit", "Leave; the engine and its tasks go on.", ("q", "ctrl+c"), ("quit", "q")),
)

BY_ID = {action.id: action for action in ACTIONS}
BY_WORD = {word: action for action in ACTIONS for word in action.words}


def title(action_id: str) -> str:
    """What the headless verbs call it too."""
    return BY_ID[action_id].title


def works_in(action: Action, places: Iterable[Place]) -> bool:
    return any(place in action.where for place in places)


def why_not(action: Action, situation: Situation) -> str | None:
    """Why the action can't be done now, in words for a person; None where it can."""
    if not works_in(action, situation.places):
        return f"{action.title} works in {_listed(action.where)}"
    return next((reason for need in action.needs if (reason := need(situation))), None)


def here(situation: Situation) -> Iterator[Action]:
    """The actions of this place, available or not, the nearest first."""
    seen: set[str] = set()
    for place in situation.places:
        for action in ACTIONS:
            if place in action.where and action.id not in seen:
                seen.add(action.id)
                yield action


def _listed(places: frozenset[Place]) -> str:
    names = {
        Place.QUEUE: "the queue",
        Place.TASK: "a task's page",
        Place.OVERVIEW: "the overview",
        Place.LOG: "a log",
        Place.LIST: "a list",
    }
    words = [name for place, name in names.items() if place in places]
    return " and ".join(words) if words else "another place"
