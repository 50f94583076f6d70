"""Which attempts still have their output, and that it was deleted."""

from collections.abc import Sequence

from engine.store.writer import Transaction, Writer

_ENDED = """
SELECT task_id, number, ended_at FROM attempts
WHERE ended_at IS NOT NULL AND output_pruned_at IS NULL ORDER BY ended_at LIMIT :limit
"""

_PRUNED = """
UPDATE attempts SET output_pruned_at = :at
WHERE task_id = :task_id AND number = :number AND ended_at IS NOT NULL
"""


async def ended_outputs(writer: Writer, limit: int) -> list[tuple[str, int, float]]:
    """Ended attempts whose output was not pruned, oldest end first: task, number, time of the end."""

    def rows(tx: Transaction) -> list[tuple[str, int, float]]:
        return [(task_id, number, at) for task_id, number, at in tx.rows(_ENDED, {"limit": limit})]

    return await writer.run(rows)


async def mark_pruned(writer: Writer, attempts: Sequence[tuple[str, int]], at: float) -> None:
    """Note when the output of these attempts was deleted."""

    def note(tx: Transaction) -> int:
        values = [{"task_id": task_id, "number": number, "at": at} for task_id, number in attempts]
        return tx.executemany(_PRUNED, values)

    await writer.run(note)
