"""Experiments, snapshots, jobs, phases, costs, approvals, services and keys on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from engine.protocol.states import JobState, PhaseState, Role
from engine.protocol.wire import Request, View

# no control character, nor one that turns the direction of what follows: names are shown on terminals
_PLAIN = r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
_NAME = rf"^{_PLAIN}*[^\s\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{_PLAIN}*$"

ExperimentName = Annotated[str, StringConstraints(pattern=_NAME, min_length=1, max_length=128)]


class CreateExperiment(Request):
    name: ExperimentName
    description: str | None = Field(default=None, max_length=4096)


class ExperimentView(View):
    """`commit_id` is the id of the experiment's newest snapshot."""

    id: str
    name: str
    commit_id: str | None
    created_at: datetime
    status: Literal["active", "archived", "deleted"]
    description: str | None = None


class SnapshotView(View):
    """A content-addressed copy of a folder: `id` is the SHA-256 over its sorted paths, modes and contents.

    `notes` say what was left out when it was stored, and why.
    """

    id: str
    experiment: str | None
    files: int
    bytes: int
    created_at: datetime
    notes: list[str] = Field(default_factory=list)


class StoreSnapshot(Request):
    """A folder on the engine's machine to copy, and the experiment it belongs to."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    experiment: ExperimentName | None = None


class JobView(View):
    """Cost in US dollars."""

    id: str
    kind: str
    name: str
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    phase: str | None = None
    phases_done: int = 0
    phases_total: int = 0
    cost: Decimal = Decimal(0)
    error: str | None = None


class PhaseView(View):
    job_id: str
    name: str
    position: int
    state: PhaseState
    task_id: str | None = None
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None


class CostLine(View):
    """The calls of one group: token counts, and dollars (`unpriced` calls are counted apart, never as 0)."""

    key: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced: int = 0


class CostsView(View):
    """Spend since local midnight and in all; `daily_limit` in dollars where one is set."""

    today: Decimal
    total: Decimal
    daily_limit: Decimal | None
    lines: list[CostLine]
    by: str


class ApprovalView(View):
    id: str
    kind: str
    title: str
    job_id: str | None
    task_id: str | None
    digest: str
    state: str
    created_at: datetime
    expires_at: datetime | None = None


class StartJupyter(Request):
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]+$", min_length=1, max_length=64)]
    workspace: str | None = Field(default=None, max_length=4096)
    image: str = Field(default="jupyter/pytorch:latest", max_length=512)


class ServiceView(View):
    id: str
    name: str
    status: Literal["starting", "running", "stopping", "stopped", "error"]
    url: str | None
    token: str | None
    created_at: datetime


class KeyView(View):
    """An API key without its secret; `prefix` is what a person recognises it by."""

    id: str
    name: str
    role: Role
    prefix: str
    created_at: datetime
    revoked_at: datetime | None = None


class CreateKey(Request):
    name: Annotated[str, StringConstraints(pattern=_NAME, min_length=1, max_length=64)]
    role: Role = Role.OPERATOR


class KeyCreated(KeyView):
    """`key` is shown this once; the store keeps only its hash."""

    key: str
