"""What an operator can ask for about the queue and the machine behind it."""

import asyncio
import os
import shutil
import socket
from datetime import UTC, datetime

import psutil

from engine.machine import Gpu, gpus
from engine.protocol.machine import GpuView, GroupView, QueueStats, ResourcesView
from engine.scheduler.loop import Scheduler
from engine.settings import Home
from engine.store.reads import Reads


class Queue:
    def __init__(self, scheduler: Scheduler, reads: Reads, home: Home) -> None:
        self._scheduler = scheduler
        self._board = scheduler.board
        self._reads = reads
        self._home = home
        self._host = socket.gethostname()

    async def pause(self, reason: str | None, user: str | None) -> None:
        """Start nothing further until `resume`, also after a restart; what runs goes on."""
        await self._scheduler.pause(reason, user)

    async def resume(self, user: str | None) -> None:
        await self._scheduler.resume(user)

    async def limit_group(self, name: str, limit: int | None, user: str | None) -> None:
        """Let at most `limit` tasks of a group run at once; None lifts the limit. What runs already goes on."""
        await self._scheduler.limit_group(name, limit, user)

    async def stats(self) -> QueueStats:
        stats = await self._reads.queue_stats()
        pause = self._board.pause
        if pause is None:
            return stats
        at = datetime.fromtimestamp(pause.at, UTC)
        return stats.model_copy(
            update={"paused": True, "paused_by": pause.by, "paused_at": at, "paused_reason": pause.reason}
        )

    async def resources(self) -> ResourcesView:
        """What there is, and what live tasks have taken of it."""
        capacity = self._board.capacity
        machine = capacity.machine
        known = {gpu.index: gpu for gpu in await asyncio.to_thread(gpus)} if machine.gpu_ids else {}
        holders = {gpu_id: task_id for task_id, held in capacity.held.items() for gpu_id in held.gpu_ids}
        return ResourcesView(
            worker_id=self._scheduler.worker_id,
            host=self._host,
            cpu_total=machine.cpu,
            cpu_used=machine.cpu - capacity.free_cpu,
            memory_gb_total=machine.memory_gb,
            memory_gb_used=machine.memory_gb - capacity.free_memory_gb,
            gpus=[_gpu(index, known.get(index), holders.get(index)) for index in machine.gpu_ids],
            groups=self._groups(),
            reserved_for=self._board.ready.reservation.holder,
            load=os.getloadavg()[0],
            memory_available_bytes=psutil.virtual_memory().available,
            disk_free_bytes=shutil.disk_usage(self._home.root).free,
        )

    def _groups(self) -> list[GroupView]:
        """Every group that has a limit or a task that is queued or live."""
        groups = self._board.groups
        queued = self._board.ready.queued_in()
        return [
            GroupView(name=name, limit=groups.limits.get(name), running=groups.live[name], queued=queued[name])
            for name in sorted({*groups.limits, *groups.live, *queued})
        ]


def _gpu(index: int, known: Gpu | None, holder: str | None) -> GpuView:
    if known is None:
        return GpuView(index=index, name=f"GPU {index}", task_id=holder)
    return GpuView(
        index=index,
        name=known.name,
        task_id=holder,
        memory_total=known.memory_total,
        memory_used=known.memory_used,
        busy=known.busy,
    )
