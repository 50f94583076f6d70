"""Where a person is and what is there: what an action needs, and so why it can't be done now."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

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


class Subject(NamedTuple):
    """The task that an action would be about."""

    id: str
    name: str
    state: str
    priority: int = 5


class Situation(NamedTuple):
    """What an action can see before it is asked for. `places` go from the focus outwards."""

    places: tuple[Place, ...] = (Place.ANYWHERE,)
    live: bool = True
    subject: Subject | None = None
    marked: int = 0
    paused: bool = False
    filtered: bool = False
    zoomed: bool = False


Need = Callable[[Situation], str | None]


def engine(situation: Situation) -> str | None:
    return None if situation.live else "not while the engine is gone"


def a_task(situation: Situation) -> str | None:
    return None if situation.subject else "there is no task under the cursor"


def tasks(situation: Situation) -> str | None:
    return None if situation.marked else a_task(situation)


def not_ended(situation: Situation) -> str | None:
    subject = situation.subject
    if situation.marked or subject is None or subject.state not in ENDED:
        return None
    return f"{subject.name} has ended ({subject.state})"


def ended(situation: Situation) -> str | None:
    subject = situation.subject
    if situation.marked or subject is None or subject.state in ENDED:
        return None
    return f"only what has ended; {subject.name} is {subject.state}"


def not_started(situation: Situation) -> str | None:
    subject = situation.subject
    if situation.marked or subject is None or subject.state not in LIVE | ENDED:
        return None
    return f"only until it starts; {subject.name} is {subject.state}"


def is_running(situation: Situation) -> str | None:
    return "the queue is paused already" if situation.paused else None


def is_paused(situation: Situation) -> str | None:
    return None if situation.paused else "the queue is not paused"


def elsewhere(situation: Situation) -> str | None:
    return None if situation.zoomed or Place.QUEUE not in situation.places else "you are at the queue"


def marks(situation: Situation) -> str | None:
    return None if situation.marked else "nothing is marked"


def a_filter(situation: Situation) -> str | None:
    return None if situation.filtered else "no filter is set"
