"""Stored events, and what keeps their number in bounds."""

from typing import Any

from pydantic_core import from_json

from engine.store.readers import Part, Snapshot
from engine.store.rows import Event
from engine.store.writer import Transaction, Writer

_PRUNED_AT_ONCE = 5_000

_EVENTS = "SELECT seq, at, kind, subject, data FROM events WHERE seq > :since ORDER BY seq LIMIT :limit"
_EVENTS_OF = """
SELECT seq, at, kind, subject, data FROM events
WHERE subject = :subject AND seq > :since ORDER BY seq LIMIT :limit
"""

# Only from the oldest on and up to the first that stays: a gap in the middle would never be told to a reader.
_PRUNE = """
DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT :limit)
  AND seq < coalesce((SELECT min(seq) FROM (SELECT seq, at FROM events ORDER BY seq LIMIT :limit) AS oldest
                      WHERE at >= :before), seq + 1)
"""


class EventReads(Part):
    async def events(self, since: int, limit: int, subject: str | None = None) -> list[Event]:
        """The oldest `limit` events after `since`, in order, of one subject if that is given."""

        def stored(snapshot: Snapshot) -> list[Event]:
            values = {"since": since, "limit": limit, "subject": subject}
            return [_event(row) for row in snapshot.rows(_EVENTS if subject is None else _EVENTS_OF, values)]

        return await self._look(stored)

    async def newest_event(self) -> int:
        """The number of the last event ever, also when it is no longer kept; 0 before the first."""
        return await self._look(lambda snapshot: snapshot.newest_event())


async def prune_events(writer: Writer, before: float) -> int:
    """Delete the events from before a time, oldest first, a few thousand at a time; how many there were.

    Their numbers are never given again, so that a reader who asks for them can be told what is missing.
    """

    def some(tx: Transaction) -> int:
        return tx.execute(_PRUNE, {"before": before, "limit": _PRUNED_AT_ONCE})

    pruned = 0
    while True:
        found = await writer.run(some)
        pruned += found
        if found < _PRUNED_AT_ONCE:
            return pruned


def _event(row: Any) -> Event:
    seq, at, kind, subject, data = row
    return Event(seq, at, kind, subject, from_json(data) if isinstance(data, str) else data)
