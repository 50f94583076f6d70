"""A real store in a folder of the test's own, and tasks to fill it with."""

import itertools
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.store.database import Database
from engine.store.reads import Reads
from engine.store.rows import Event
from engine.store.writer import Transaction, Writer

NOW = 1_780_000_000.0
_RANKS = {"preparing": 0, "running": 0, "collecting": 0, "waiting": 1, "queued": 2, "blocked": 3}
_COLUMNS: Mapping[str, object] = {
    "job_name": "train",
    "state": "queued",
    "priority": 5,
    "executor": "process",
    "command": '["true"]',
    "args": None,
    "env": "{}",
    "image": None,
    "group_name": None,
    "cpu": 1,
    "memory_gb": 0,
    "gpu": 0,
    "gpu_ids": "[]",
    "snapshot_id": None,
    "datasets": "[]",
    "dataset_specs": "[]",
    "metadata": "{}",
    "max_retries": 0,
    "retry_count": 0,
    "attempt": 0,
    "started_at": None,
    "ended_at": None,
    "exit_code": None,
    "error": None,
    "reason": None,
    "user_id": None,
}
_numbers = itertools.count(1)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'shopfloor.db'}"


@dataclass
class Store:
    """An open store. `commits` holds the events of each commit, as they were published."""

    database: Database
    writer: Writer
    reads: Reads
    commits: list[list[Event]] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return [event for commit in self.commits for event in commit]


@asynccontextmanager
async def opened(folder: Path, busy_timeout_s: float = 5.0) -> AsyncIterator[Store]:
    database = Database.open(url(folder), busy_timeout_s)
    commits: list[list[Event]] = []
    writer = Writer(database, commits.append, clock=lambda: NOW)
    reads = Reads(database)
    writer.start()
    try:
        yield Store(database, writer, reads, commits)
    finally:
        writer.close()
        reads.close()
        database.close()


def add_task(tx: Transaction, **columns: Any) -> str:
    """Put a task into the store, with sensible values for what is not given; its id."""
    number = next(_numbers)
    state = str(columns.get("state", "queued"))
    ended = state not in _RANKS
    values: dict[str, object] = {
        "id": f"{number:08d}",
        **_COLUMNS,
        "rank": _RANKS.get(state, 4),
        "rank_key": float(-number if ended else number),
        "created_at": NOW + number,
        "queued_at": NOW + number,
        **({"ended_at": NOW} if ended else {}),
        **columns,
    }
    names = ", ".join(values)
    tx.execute(f"INSERT INTO tasks ({names}) VALUES ({', '.join(f':{name}' for name in values)})", values)
    tx.event(f"task.{state}", str(values["id"]), {"state": state})
    return str(values["id"])


def add_mark(tx: Transaction, name: str) -> None:
    """The smallest row there is, to tell which works were kept."""
    tx.execute("INSERT INTO engine_state (name, value) VALUES (:name, 'null')", {"name": f"mark {name}"})


def marks(folder: Path) -> list[str]:
    """All marks on disk, in the order of their writing, as another program reads them."""
    with closing(sqlite3.connect(folder / "shopfloor.db")) as connection:
        rows = connection.execute("SELECT name FROM engine_state WHERE name LIKE 'mark %' ORDER BY rowid")
        return [name.removeprefix("mark ") for (name,) in rows]
