"""ONE registry of what can be done at the console.

Keys, the palette, the `:` commands, the footer and the help all come from `ACTIONS`; the headless verbs take
their titles from it. An action says where it works, what it needs, and so also why it can't be done now.
Standard library alone: the headless verbs read it too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from engine.protocol.states import ENDED, LIVE


class Place(StrEnum):
    """Where the keys are: the widget with the focus, then the screen around it."""

    QUEUE = "queue"
    JOBS = "jobs"
    APPROVALS = "approvals"
    NOTEBOOKS = "notebooks"
    LIST = "list"
    LOG = "log"
    SHEET = "sheet"
    OVERVIEW = "overview"
    TASK = "task"
    ANYWHERE = "anywhere"


@dataclass(frozen=True, slots=True)
class Subject:
    """The task that an action would be about."""

    id: str
    name: str
    state: str
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Situation:
    """What an action can see before it is asked for. `places` go from the focus outwards."""

    places: tuple[Place, ...] = (Place.ANYWHERE,)
    live: bool = True
    subject: Subject | None = None
    marked: int = 0
    paused: bool = False
    filtered: bool = False
    log_size: int | None = None


Need = Callable[[Situation], str | None]


def engine(situation: Situation) -> str | None:
    return None if situation.live else "the engine does not answer; this works again when the link is back"


def a_task(situation: Situation) -> str | None:
    return None if situation.subject else "there is no task under the cursor"


def tasks(situation: Situation) -> str | None:
    return None if situation.marked else a_task(situation)


def not_ended(situation: Situation) -> str | None:
    subject = situation.subject
    if situation.marked or subject is None or subject.state not in ENDED:
        return None
    return f"{subject.name} has ended ({subject.state}); there is nothing to cancel"


def ended(situation: Situation) -> str | None:
    subject = situation.subject
    if situation.marked or subject is None or subject.state in ENDED:
        return None
    return f"{subject.name} is {subject.state}; only a task that has ended can be retried"


def not_started(situation: Situation) -> str | None:
    subject = situation.subject
    if situation.marked or subject is None or subject.state not in LIVE | ENDED:
        return None
    return f"{subject.name} is {subject.state}; priority counts only until a task starts"


def is_running(situation: Situation) -> str | None:
    return "the queue is paused already" if situation.paused else None


def is_paused(situation: Situation) -> str | None:
    return None if situation.paused else "the queue is not paused"


def marks(situation: Situation) -> str | None:
    return None if situation.marked else "nothing is marked"


def a_filter(situation: Situation) -> str | None:
    return None if situation.filtered else "no filter is set"


@dataclass(frozen=True, slots=True)
class Action:
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
MOVING = _at(Place.LIST, Place.LOG, Place.SHEET)

ACTIONS: tuple[Action, ...] = (
    # what is done with a task
    Action(
        "task.open",
        "open",
        "Open the page of the task under the cursor.",
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
        "Go to the log of the task under the cursor.",
        ("l",),
        ("log",),
        where=TASKS,
        needs=(a_task,),
        rank=2,
    ),
    Action(
        "task.cancel",
        "cancel",
        "Cancel the task under the cursor, or all that are marked; asks first.",
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
        "Run a task again that has ended; `:retry memory_gb=16` changes what it asks for.",
        ("r",),
        ("retry",),
        "[FIELD=N ...]",
        "ask",
        TASKS,
        (engine, tasks, ended),
        4,
        asks=True,
    ),
    Action(
        "task.again",
        "submit again",
        "Open the submit form, filled in from the task under the cursor.",
        ("N",),
        ("again",),
        where=TASKS,
        needs=(engine, a_task),
    ),
    Action(
        "task.raise",
        "raise priority",
        "One step up for the task under the cursor, or all that are marked.",
        ("+",),
        where=TASKS,
        needs=(engine, tasks, not_started),
    ),
    Action(
        "task.lower",
        "lower priority",
        "One step down for the task under the cursor, or all that are marked.",
        ("-",),
        where=TASKS,
        needs=(engine, tasks, not_started),
    ),
    Action(
        "task.priority",
        "set priority",
        "Set the priority, 1 to 10, 10 first.",
        (),
        ("priority",),
        "N",
        where=TASKS,
        needs=(engine, tasks, not_started),
    ),
    Action("copy.id", "copy id", "Copy the task's whole id.", ("y",), ("copy",), where=TASKS, needs=(a_task,)),
    Action("copy.row", "copy row", "Copy the row under the cursor as text.", ("Y",), ("copy-row",), where=LISTS),
    # marks
    Action(
        "mark.toggle",
        "mark",
        "Mark the row, or take its mark away, and go on to the next.",
        ("space",),
        where=_at(Place.QUEUE),
        needs=(a_task,),
        rank=5,
    ),
    Action(
        "mark.all",
        "mark all",
        "Mark everything that the filter lets through.",
        ("*",),
        ("mark-all",),
        where=_at(Place.QUEUE),
    ),
    Action(
        "mark.invert",
        "invert marks",
        "Mark what is not marked, and the other way round.",
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
        "Show only what matches: text, /regex/, field:value, ! inverts.",
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
    Action(
        "list.sort_left", "sort by the column before", "Sort by the column to the left.", ("<",), where=_at(Place.QUEUE)
    ),
    Action(
        "list.sort_right",
        "sort by the column after",
        "Sort by the column to the right.",
        (">",),
        where=_at(Place.QUEUE),
    ),
    Action("list.flip", "turn the order round", "Sort the other way round.", ("o",), where=_at(Place.QUEUE)),
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
        "How many of a group may run at once; `none` lifts the limit.",
        (),
        ("limit",),
        "GROUP N",
        needs=(engine,),
    ),
    Action(
        "task.submit",
        "submit",
        "Open the submit form, or submit the command given.",
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
        "Go to the next place where the text stands.",
        ("n",),
        where=_at(Place.LOG),
        rank=2,
        short="next",
    ),
    Action("log.previous", "match before", "Go to the place before.", ("N",), where=_at(Place.LOG)),
    Action(
        "log.follow",
        "follow",
        "Stay at the end while the task writes, or stop doing so.",
        ("f",),
        ("follow",),
        where=_at(Place.LOG),
        rank=3,
    ),
    # moving
    Action("move.down", "down", "One row down.", ("j", "down"), where=MOVING),
    Action("move.up", "up", "One row up.", ("k", "up"), where=MOVING),
    Action("move.page_down", "page down", "One page down.", ("pagedown", "ctrl+f"), where=MOVING),
    Action("move.page_up", "page up", "One page up.", ("pageup", "ctrl+u"), where=MOVING),
    Action("move.top", "top", "To the first row.", ("g", "home"), where=MOVING),
    Action("move.bottom", "bottom", "To the last row.", ("G", "end"), where=MOVING),
    Action("move.left", "left", "Further to the left.", ("h", "left"), where=MOVING),
    Action("move.right", "right", "Further to the right.", ("right",), where=MOVING),
    # panes
    Action("pane.next", "next pane", "To the next pane.", ("tab",), where=SCREENS),
    Action("pane.previous", "pane before", "To the pane before.", ("shift+tab",), where=SCREENS),
    Action(
        "pane.zoom",
        "zoom",
        "Give this pane the whole screen, or take it back.",
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
    # everywhere
    Action("go.back", "back", "Back to where you were.", ("escape", "q"), ("back",), where=_at(Place.TASK), rank=10),
    Action("command.line", "command", "Type a command; tab completes it.", (":",), rank=11),
    Action("command.palette", "palette", "Find a command by its name.", ("ctrl+p",), ("palette",)),
    Action("theme.choose", "theme", "Choose another theme.", ("T",), ("theme",), "[NAME]", "theme"),
    Action("mouse.toggle", "mouse", "Let shopfloor have the mouse, or leave it to the terminal.", ("m",), ("mouse",)),
    Action("link.retry", "try the engine now", "Try to reach the engine at once.", ("R",), ("reconnect",)),
    Action("help.show", "keys", "All keys of where you are.", ("?", "f1"), ("help",), rank=12),
    Action("app.quit", "quit", "Leave the console; the engine and its tasks go on.", ("q", "ctrl+c"), ("quit", "q")),
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


@dataclass(frozen=True, slots=True)
class Command:
    """What was typed after `:`, understood."""

    action: Action
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """What was typed after `:`, and what was expected."""

    reason: str
    near: list[str] = field(default_factory=list)


def parse_command(line: str) -> Command | Misunderstood:
    """`cancel name:sweep` -> the action with its argument; an abbreviation that fits one word will do."""
    word, _, argument = line.strip().partition(" ")
    argument = argument.strip()
    action = BY_WORD.get(word)
    if action is None:
        near = sorted(known for known in BY_WORD if known.startswith(word))
        if len({BY_WORD[known].id for known in near}) != 1:
            hint = f"{word!r} could be {', '.join(near)}" if near else f"{word!r} is no command; tab shows them all"
            return Misunderstood(hint, near)
        action = BY_WORD[near[0]]
    if argument and not action.argument:
        return Misunderstood(f"{action.words[0]} takes nothing after it")
    if not argument and action.argument and not action.argument.startswith("["):
        return Misunderstood(f"{action.words[0]} wants {action.argument}")
    return Command(action, argument)
