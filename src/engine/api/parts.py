"""What the routes stand on. They translate; these do the work."""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request

from engine.api.gate import RequestCounts
from engine.api.messages import Messages
from engine.control.experiments import Experiments
from engine.control.keys import Keys, Principal
from engine.control.queue import Queue
from engine.control.tasks import Tasks
from engine.control.usage import UsageMeter
from engine.events import EventHub
from engine.output import Output
from engine.settings import Home, Settings
from engine.store.reads import Reads


@dataclass(frozen=True, slots=True)
class Parts:
    """The engine behind one application."""

    settings: Settings
    home: Home
    version: str
    started_at: float
    url: str
    worker_id: str
    database: str
    reads: Reads
    hub: EventHub
    keys: Keys
    tasks: Tasks
    queue: Queue
    experiments: Experiments
    output: Output
    usage: UsageMeter
    draining: Callable[[], bool]
    counts: RequestCounts = field(default_factory=RequestCounts)
    messages: Messages = field(default_factory=Messages)


def parts_of(request: Request) -> Parts:
    """The engine that serves this request."""
    parts: Parts = request.app.state.parts
    return parts


def user_of(request: Request) -> str:
    """Whose key it is: what tasks and events remember."""
    principal: Principal = request.scope["state"]["principal"]
    return principal.name
