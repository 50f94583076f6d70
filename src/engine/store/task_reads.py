"""Windows over tasks, one task, its attempts."""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any

from engine.protocol.states import WorkerStatus
from engine.protocol.tasks import ArtifactView, AttemptView, TaskList, TaskView
from engine.store.filters import Condition, condition
from engine.store.orders import order_by
from engine.store.readers import Part, Readers, Snapshot
from engine.store.task_views import ATTEMPT_COLUMNS, TASK_COLUMNS, attempt_view, task_view
from engine.store.text import when

_REMEMBERED_TOTALS = 32
_ARTIFACTS = """
SELECT id, task_id, attempt, path, bytes, sha256, created_at FROM artifacts
WHERE task_id = :id ORDER BY attempt, path
"""


class TaskReads(Part):
    """What an operator reads of tasks. Every call reads one moment of the store."""

    def __init__(self, readers: Readers) -> None:
        super().__init__(readers)
        self._totals = _Totals()

    async def tasks(
        self,
        *,
        status: WorkerStatus | None = None,
        filter: str = "",  # noqa: A002 - the word of the API
        sort: str = "order",
        limit: int = 50,
        offset: int = 0,
    ) -> TaskList:
        """The tasks from `offset` on, in the order `sort`, of those that match. Raises `FilterError`.

        `total` counts all that match; `seq` is the newest event that is already in what comes back.
        """
        order = order_by(sort)

        def window(snapshot: Snapshot) -> TaskList:
            wanted = _wanted(snapshot, status, filter)
            seq = snapshot.newest_event()
            total = self._totals.count(snapshot, seq, wanted)
            tasks = _window(snapshot, wanted, order, limit, offset) if offset < total else []
            return TaskList(tasks=tasks, total=total, limit=limit, offset=offset, seq=seq)

        return await self._look(window)

    async def task(self, task_id: str) -> TaskView | None:
        """The task with exactly this id."""

        def one(snapshot: Snapshot) -> TaskView | None:
            rows = snapshot.rows(f"SELECT {TASK_COLUMNS} FROM tasks WHERE id = :id", {"id": task_id})
            found = _views(snapshot, rows)
            return found[0] if found else None

        return await self._look(one)

    async def ids_matching(self, filter: str, limit: int) -> list[str]:  # noqa: A002 - the word of the API
        """The ids of the first `limit` tasks that match, in the operator's order. Raises `FilterError`."""

        def ids(snapshot: Snapshot) -> list[str]:
            wanted = _wanted(snapshot, None, filter)
            return [
                row[0]
                for row in snapshot.rows(
                    f"SELECT id FROM tasks {wanted.where_in_order} ORDER BY {order_by('order')} LIMIT :limit",
                    {**wanted.params, "limit": limit},
                )
            ]

        return await self._look(ids)

    async def attempts(self, task_id: str) -> list[AttemptView]:
        """All attempts of a task, the first one first."""
        sql = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE task_id = :id ORDER BY number"
        return await self._look(lambda snapshot: [attempt_view(row) for row in snapshot.rows(sql, {"id": task_id})])

    async def artifacts(self, task_id: str) -> list[ArtifactView]:
        """What the attempts of a task left, by attempt and path."""
        return await self._look(
            lambda snapshot: [
                ArtifactView(
                    id=row[0],
                    task_id=row[1],
                    attempt=row[2],
                    path=row[3],
                    bytes=row[4],
                    sha256=row[5],
                    created_at=when(row[6]),
                )
                for row in snapshot.rows(_ARTIFACTS, {"id": task_id})
            ]
        )


class _Totals:
    """How many tasks match. A count that was made at the same event is still right, and spares scanning them again."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, tuple[object, ...]], tuple[int, int]] = OrderedDict()

    def count(self, snapshot: Snapshot, seq: int, wanted: Condition) -> int:
        key = (wanted.sql, tuple(wanted.params.values()))
        known = self._known.get(key)
        if known is not None and known[0] == seq:
            return known[1]
        total = int(snapshot.one(f"SELECT count(*) FROM tasks {wanted.where}", wanted.params)[0])
        self._known[key] = (seq, total)
        while len(self._known) > _REMEMBERED_TOTALS:
            self._known.popitem(last=False)
        return total


def _wanted(snapshot: Snapshot, status: WorkerStatus | None, text: str) -> Condition:
    return condition(text if status is None else f"status:{status} {text}", snapshot.backend.command_text)


def _window(snapshot: Snapshot, wanted: Condition, order: str, limit: int, offset: int) -> list[TaskView]:
    """The inner query walks the index alone, so that what stands before `offset` costs next to nothing."""
    inner = f"SELECT seq FROM tasks {wanted.where_in_order} ORDER BY {order} LIMIT :limit OFFSET :offset"
    rows = snapshot.rows(
        f"SELECT {TASK_COLUMNS} FROM tasks WHERE seq IN ({inner}) ORDER BY {order}",
        {**wanted.params, "limit": limit, "offset": offset},
    )
    return _views(snapshot, rows)


def _views(snapshot: Snapshot, rows: Sequence[Sequence[Any]]) -> list[TaskView]:
    after = _after(snapshot, [row[0] for row in rows])
    return [task_view(row, after.get(row[0], ())) for row in rows]


def _after(snapshot: Snapshot, ids: Sequence[str]) -> dict[str, list[str]]:
    """What each of these tasks was submitted to run after."""
    names = ", ".join(f":i{n}" for n in range(len(ids)))
    found: dict[str, list[str]] = defaultdict(list)
    for task_id, on_task_id in snapshot.rows(
        f"SELECT task_id, on_task_id FROM dependencies WHERE task_id IN ({names}) ORDER BY task_id, on_task_id",
        {f"i{n}": task_id for n, task_id in enumerate(ids)},
    ):
        found[task_id].append(on_task_id)
    return found
