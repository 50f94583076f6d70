"""What a running attempt's processes take, as a rate: it needs two looks."""

import asyncio
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from engine.control.errors import Problem
from engine.executors.base import AttemptKey
from engine.machine import Usage, usage
from engine.protocol.states import ErrorCode, TaskState
from engine.protocol.tasks import TaskUsage, TaskView
from engine.store.reads import Reads

_KEPT: Final = 256
_APART_S: Final = 0.1
_OLDEST_S: Final = 30.0


class _Look(NamedTuple):
    at: float
    usage: Usage


class UsageMeter:
    """Remembers the last look at each attempt, so that someone who asks again and again is answered at once."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._looks: OrderedDict[AttemptKey, _Look] = OrderedDict()

    async def read(self, task: TaskView) -> TaskUsage:
        """Raises `Problem` when no process of the task runs here now."""
        attempts = await self._reads.attempts(task.id)
        pid = attempts[-1].pid if attempts else None
        if task.state is not TaskState.RUNNING or pid is None:
            raise Problem(ErrorCode.CONFLICT, f"Task {task.id} is {task.state.value}; only a running one uses anything")
        key = AttemptKey(task.id, task.attempt)
        before = self._looks.get(key)
        now = await self._look(key, pid)
        if before is None or not _APART_S <= now.at - before.at <= _OLDEST_S:
            before = now
            await asyncio.sleep(_APART_S)
            now = await self._look(key, pid)
        self._looks[key] = now
        self._looks.move_to_end(key)
        while len(self._looks) > _KEPT:
            self._looks.popitem(last=False)
        return TaskUsage(
            task_id=task.id,
            attempt=task.attempt,
            cpu=round(max(0.0, now.usage.cpu_s - before.usage.cpu_s) / (now.at - before.at), 3),
            memory_bytes=now.usage.memory_bytes,
            processes=now.usage.processes,
        )

    async def _look(self, key: AttemptKey, pid: int) -> _Look:
        cookie = f"SHOPFLOOR_ATTEMPT={key.task_id}#{key.attempt}"
        return _Look(time.monotonic(), await asyncio.to_thread(usage, pid, cookie))
