"""Answering whoever asked: for one thing, or for each of many."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.scheduler.refusals import Refused

T = TypeVar("T")

log = logging.getLogger(__name__)


def each(task_ids: Sequence[str], do: Callable[[str], T]) -> dict[str, T | Refused]:
    """Do it for each task; a refusal is one task's own and found before anything was written for it."""
    results: dict[str, T | Refused] = {}
    for task_id in dict.fromkeys(task_ids):
        try:
            results[task_id] = do(task_id)
        except Refused as refused:
            results[task_id] = refused
    return results


def answer(future: asyncio.Future[T], result: T, error: BaseException | None) -> None:
    """Unless nobody waits any more."""
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def log_failure(_: object, error: BaseException | None) -> None:
    """Nobody waits for it."""
    if error is not None:
        log.error("what the engine meant to write was not written: %s", error)
