"""The queue, the machine and the engine itself on the wire."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from engine.protocol.tasks import GroupName
from engine.protocol.wire import Request, View


class Health(View):
    """The worker contract's health report."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    timestamp: datetime


class EngineFile(View):
    """`engine.json` in the home folder: written when the engine is ready, removed at a clean stop."""

    pid: int
    url: str
    socket: str
    version: str
    started_at: datetime


class QueueStats(View):
    """The worker contract's counts (`completed` and `failed` are today's, local midnight) and the native ones.

    `ended_today` is by state: what was cancelled or skipped is `failed` in the contract, not there.
    """

    queued: int
    running: int
    completed: int
    failed: int
    workers: int
    by_state: dict[str, int] = Field(default_factory=dict)
    ended_today: dict[str, int] = Field(default_factory=dict)
    paused: bool = False
    paused_by: str | None = None
    paused_at: datetime | None = None
    paused_reason: str | None = None
    seq: int = 0


class PauseRequest(Request):
    reason: str | None = Field(default=None, max_length=500)


class GpuView(View):
    """A GPU: `task_id` holds it; memory in bytes and `busy` (0 to 1) where NVML tells."""

    index: int
    name: str
    task_id: str | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    busy: float | None = None


class GroupView(View):
    name: str
    limit: int | None
    running: int
    queued: int


class GroupLimit(Request):
    """How many tasks of a group may run at once; `null` lifts the limit."""

    name: GroupName
    limit: int | None = Field(ge=0, le=100_000)


class ResourcesView(View):
    """What this machine offers the queue, and what live tasks have taken of it. Memory in GB as tasks ask for it."""

    worker_id: str
    host: str
    cpu_total: int
    cpu_used: int
    memory_gb_total: int
    memory_gb_used: int
    gpus: list[GpuView]
    groups: list[GroupView]
    reserved_for: str | None = None
    load: float
    memory_available_bytes: int
    disk_free_bytes: int


class EngineStatus(View):
    worker_id: str
    version: str
    host: str
    pid: int
    started_at: datetime
    url: str
    socket: str
    paused: bool
    draining: bool
    database: str
    events: int
