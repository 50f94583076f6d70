"""How much there is to do, and how much was done today."""

import time

from engine.protocol.machine import QueueStats
from engine.protocol.states import LIVE, TaskState
from engine.store.readers import Part, Readers, Snapshot

_QUEUED = (TaskState.BLOCKED, TaskState.WAITING, TaskState.QUEUED)
_UNSUCCESSFUL = (TaskState.FAILED, TaskState.CANCELLED, TaskState.SKIPPED)

_BY_STATE = "SELECT state, count(*) FROM tasks GROUP BY state"
_ENDED_TODAY = """
SELECT state, count(*) FROM tasks
WHERE state IN ('completed', 'failed', 'cancelled', 'skipped') AND ended_at >= :midnight GROUP BY state
"""


class QueueReads(Part):
    def __init__(self, readers: Readers) -> None:
        super().__init__(readers)
        self._counted: tuple[int, dict[str, int]] | None = None

    async def queue_stats(self) -> QueueStats:
        """The worker contract's counts and those by state. Whether the queue is paused is for the scheduler to say.

        `queued` is all that has yet to start (blocked and waiting included), `running` all that holds resources
        (preparing and collecting included), so that the two are what has not ended. `failed` takes in what was
        cancelled or skipped, as in the contract's statuses.
        """

        def stats(snapshot: Snapshot) -> QueueStats:
            seq = snapshot.newest_event()
            by_state = self._by_state(snapshot, seq)
            today = dict(snapshot.rows(_ENDED_TODAY, {"midnight": local_midnight()}))
            return QueueStats(
                queued=sum(by_state[state] for state in _QUEUED),
                running=sum(by_state[state] for state in LIVE),
                completed=today.get(TaskState.COMPLETED, 0),
                failed=sum(today.get(state, 0) for state in _UNSUCCESSFUL),
                workers=1,
                by_state=by_state,
                ended_today=today,
                seq=seq,
            )

        return await self._look(stats)

    def _by_state(self, snapshot: Snapshot, seq: int) -> dict[str, int]:
        """Counted once for each newest event: a task changes its state with an event or not at all."""
        if self._counted is None or self._counted[0] != seq:
            self._counted = seq, {**dict.fromkeys(TaskState, 0), **dict(snapshot.rows(_BY_STATE))}
        return dict(self._counted[1])


def local_midnight() -> float:
    """The start of the local day in seconds since the epoch; days on which the clock is changed included."""
    today = time.localtime()
    return time.mktime((today.tm_year, today.tm_mon, today.tm_mday, 0, 0, 0, 0, 0, -1))
