"""What a new engine takes over: the queue is read from the store, live attempts are asked after."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.protocol.states import AttemptOutcome, TaskState
from engine.scheduler.attempt import Finish, Live, from_row
from engine.scheduler.board import Board, Pause
from engine.scheduler.entries import entry_of
from engine.scheduler.times import Times
from engine.store import task_writes as sql
from engine.store.writer import Transaction

PAUSE = "queue.paused"
GROUPS = "queue.groups"


@dataclass(frozen=True, slots=True)
class Found:
    """What the store held at boot; `queued` are rows of `QUEUED`."""

    live: Sequence[Live]
    queued: Sequence[tuple[Any, ...]]
    pause: Pause | None
    limits: dict[str, int]
    newest: int


def read(tx: Transaction) -> Found:
    return Found(
        [_live(tx, row) for row in tx.rows(sql.LIVE)],
        tx.rows(sql.QUEUED),
        read_pause(tx),
        read_limits(tx),
        tx.rows(sql.NEWEST_TASK)[0][0],
    )


def fill(board: Board, found: Found, ageing_s: float, times: Times) -> None:
    """Rebuild what is in memory: what is in use comes from the live attempts, the order from the queued tasks."""
    for live in found.live:
        board.live[live.id] = live
        board.capacity.hold(live.id, live.ask, live.gpu_ids)
        board.groups.enter(live.group)
    board.groups.set_limits(found.limits)
    board.pause = found.pause
    board.newest = found.newest
    now_or_never = []
    for row in found.queued:
        entry = entry_of(row, board.ready, ageing_s)
        if row[5] is None:
            now_or_never.append(entry)
        else:
            board.ready.add(entry, times.steadily(row[5]))
    board.ready.load(now_or_never)


def read_pause(tx: Transaction) -> Pause | None:
    value = read_state(tx, PAUSE)
    return None if value is None else Pause(value["by"], value["at"], value["reason"])


def read_limits(tx: Transaction) -> dict[str, int]:
    return dict(read_state(tx, GROUPS) or {})


def read_state(tx: Transaction, name: str) -> Any:
    rows = tx.rows(sql.READ_STATE, {"name": name})
    value = rows[0][0] if rows else None
    return json.loads(value) if isinstance(value, str) else value


def write_state(tx: Transaction, name: str, value: object) -> None:
    tx.execute(sql.WRITE_STATE, {"name": name, "value": json.dumps(value)})


def _live(tx: Transaction, row: Sequence[Any]) -> Live:
    live = from_row(row)
    live.state = TaskState(row[24])
    live.started_at = row[25]
    live.cancelled_by = row[26]
    if live.state is TaskState.COLLECTING:
        outcome, exit_code, signal, error, ended_at = tx.rows(
            sql.ATTEMPT_END, {"id": live.id, "attempt": live.attempt}
        )[0]
        live.finish = Finish(AttemptOutcome(outcome), ended_at, error, exit_code, signal)
    return live
