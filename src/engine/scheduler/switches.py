"""What a person sets for the whole queue, as it is written and told; kept over restarts."""

from engine.scheduler import recovery
from engine.scheduler.board import Pause
from engine.store.writer import Transaction


def pause(tx: Transaction, reason: str | None, by: str | None) -> Pause:
    made = Pause(by, tx.now, reason)
    recovery.write_state(tx, recovery.PAUSE, made._asdict())
    tx.event("queue.paused", "queue", {"by": by, "reason": reason})
    return made


def resume(tx: Transaction, by: str | None) -> None:
    recovery.write_state(tx, recovery.PAUSE, None)
    tx.event("queue.resumed", "queue", {"by": by})


def limit_group(tx: Transaction, name: str, limit: int | None, by: str | None) -> dict[str, int]:
    """All limits there are now."""
    limits = recovery.read_limits(tx)
    limits.pop(name, None)
    if limit is not None:
        limits[name] = limit
    recovery.write_state(tx, recovery.GROUPS, limits)
    tx.event("queue.limited", name, {"limit": limit, "by": by})
    return limits
