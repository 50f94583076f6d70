"""How task lists are sorted. Equal ones keep the order in which they were submitted."""

from engine.protocol.states import TaskState
from engine.store.filters import FilterError

_STATES = " ".join(f"WHEN '{state}' THEN {place}" for place, state in enumerate(TaskState))

_COLUMNS: dict[str, tuple[str, ...]] = {
    "order": ("rank", "rank_key"),
    "id": ("id",),
    "job_name": ("job_name",),
    "state": (f"CASE state {_STATES} END",),
    "priority": ("priority",),
    "cpu": ("cpu",),
    "memory_gb": ("memory_gb",),
    "gpu": ("gpu",),
    "created_at": (),
    "started_at": ("started_at",),
    "ended_at": ("ended_at",),
    "group": ("group_name",),
    "attempt": ("attempt",),
    "executor": ("executor",),
}
_CAN_BE_UNKNOWN = frozenset({"started_at", "ended_at", "group_name"})

SORTS = tuple(_COLUMNS)


class SortError(FilterError):
    """A sort that there is none of; `term` is what was asked for."""


def order_by(sort: str) -> str:
    """What stands behind ORDER BY for `field` or `-field`. What is not known comes last either way.

    Tasks are numbered as they are created, so that `created_at` is that number's order.
    """
    field = sort.removeprefix("-")
    if field not in _COLUMNS:
        raise SortError(sort, "tasks can't be sorted by that", (*SORTS, "each with - before it for the reverse"))
    direction = "DESC" if sort.startswith("-") else "ASC"
    terms = []
    for column in _COLUMNS[field]:
        if column in _CAN_BE_UNKNOWN:
            terms.append(f"{column} IS NULL")
        terms.append(f"{column} {direction}")
    return ", ".join((*terms, f"seq {direction}"))
