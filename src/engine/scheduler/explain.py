"""Why a task waits. Worked out when somebody asks, so that waiting costs nothing."""

import math
from collections.abc import Iterator

from engine.scheduler.board import Board
from engine.scheduler.ready import Entry


def explain(board: Board, task_id: str, now: float) -> str | None:
    """A short reason for a queued task, such as `waits for 2 GPUs (1 free)`; None for one that is not waiting."""
    entry = board.ready.get(task_id)
    if entry is None:
        return None
    return next(_reasons(board, entry, now))


def _reasons(board: Board, entry: Entry, now: float) -> Iterator[str]:
    """What keeps a task from starting, what lasts longest first."""
    lane = entry.lane
    if board.stopping:
        yield "the engine is stopping"
    if board.pause is not None:
        yield "the queue is paused" + (f" by {board.pause.by}" if board.pause.by else "")
    if not board.ready.has_executor(lane.executor):
        yield f"executor {lane.executor} is not available here"
    if (never := board.capacity.why_never(lane.ask)) is not None:
        yield never
    if (due := board.ready.due(entry.id)) is not None and due > now:
        yield f"retry in {math.ceil(due - now)} s"
    if (full := board.groups.why_not_now(lane.group)) is not None:
        yield full
    if board.disk_free_mb is not None:
        yield f"the disk is nearly full ({board.disk_free_mb} MB free)"
    if (lack := board.capacity.why_not_now(lane.ask)) is not None:
        yield lack
    holder = board.ready.reservation.holder
    if holder is not None and holder != entry.id:
        yield f"room is kept for task {holder}"
    yield "starts next"
