"""Events as the lines of `/ws`: the worker contract's message types, and a number on each."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic_core import to_json

from engine.events import Event, Lagged
from engine.protocol.states import ENDED, MessageType, TaskState
from engine.store.text import WORKER_STATUS, when

_KEPT_TEXTS: Final = 1024
_TASK: Final = "task."


class Messages:
    """Events as JSON text. Each is written once, for all clients that stand near the newest one."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def text(self, item: Event | Lagged) -> str:
        if isinstance(item, Lagged):
            return plain(MessageType.LAGGED, item.seq, {"newest": item.newest, "missing": item.missing})
        text = self._texts.get(item.seq)
        if text is None:
            text = _event_text(item)
            if len(self._texts) >= _KEPT_TEXTS:
                self._texts.clear()
            self._texts[item.seq] = text
        return text


def _event_text(event: Event) -> str:
    message: dict[str, object] = {
        "type": MessageType.EVENT,
        "seq": event.seq,
        "at": when(event.at),
        "kind": event.kind,
        "subject": event.subject,
        "data": event.data,
    }
    if event.kind.startswith(_TASK) and (state := event.data.get("state")) is not None:
        state = TaskState(state)
        message["type"] = MessageType.TASK_COMPLETE if state in ENDED else MessageType.TASK_UPDATE
        message["task_id"] = event.subject
        message["status"] = WORKER_STATUS[state]
    return to_json(message).decode()


def plain(kind: MessageType, seq: int, data: Mapping[str, object] | None = None) -> str:
    message = {
        "type": kind,
        "seq": seq,
        "at": datetime.now(UTC),
        "kind": f"engine.{kind.value}",
        "subject": "",
        "data": data or {},
    }
    return to_json(message).decode()
