"""Deleting output that nobody is going to read: what is too old, then the oldest of what is too much.

With its output goes the folder that an attempt ran in, which may hold a whole copy of a snapshot. Artifacts stay.
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from engine.materials.trees import remove
from engine.settings import Settings
from engine.store.output_writes import ended_outputs, mark_pruned
from engine.store.writer import Writer

_AT_ONCE = 500
_DAY_S = 86_400
_GB = 10**9
_WORK = "work"


async def prune(tasks: Path, name: str, settings: Settings, writer: Writer) -> list[tuple[str, int]]:
    """Of ended attempts only. A file is deleted before the store is told: cut short, the next time tells it."""
    now = time.time()
    oldest = now - settings.output_keep_days * _DAY_S if settings.output_keep_days else None
    largest = int(settings.output_keep_gb * _GB) if settings.output_keep_gb else None
    excess = 0 if largest is None else await asyncio.to_thread(_total, tasks, name) - largest
    pruned: list[tuple[str, int]] = []
    while oldest is not None or excess > 0:
        found = await ended_outputs(writer, _AT_ONCE)
        chosen = []
        for task_id, number, ended_at in found:
            if not (excess > 0 or (oldest is not None and ended_at < oldest)):
                break
            chosen.append((task_id, number))
            excess -= await asyncio.to_thread(_delete, tasks / task_id / str(number), name)
        if chosen:
            await mark_pruned(writer, chosen, now)
            pruned += chosen
        if len(chosen) < _AT_ONCE:
            break
    return pruned


def _delete(attempt: Path, name: str) -> int:
    """Delete what an attempt printed and where it ran; the bytes of output that this gave back."""
    output = attempt / name
    try:
        size = output.stat().st_size
        output.unlink()
    except FileNotFoundError:
        size = 0
    remove(attempt / _WORK)
    return size


def _total(tasks: Path, name: str) -> int:
    return sum(_sizes(tasks.glob(f"*/*/{name}")))


def _sizes(paths: Iterable[Path]) -> Iterable[int]:
    for path in paths:
        try:
            yield path.stat().st_size
        except FileNotFoundError:
            continue
