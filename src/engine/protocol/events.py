"""The event envelope: what `/ws` sends and `/v1/events` lists."""

from datetime import datetime
from typing import Any

from engine.protocol.states import MessageType
from engine.protocol.wire import View


class EventView(View):
    """One thing that happened, written in the transaction that made it true.

    `kind` is dotted (`task.running`, `queue.paused`), `subject` the id it is about, `data` what changed:
    for a task, the fields of `TaskView` that are new.
    """

    seq: int
    at: datetime
    kind: str
    subject: str
    data: dict[str, Any]


class Message(EventView):
    """An event on `/ws`. `task_id` and `status` are the worker contract's, set on its two message types."""

    type: MessageType
    task_id: str | None = None
    status: str | None = None
