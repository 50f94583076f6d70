"""All that is read from the store, beside the writer and never in its way."""

from engine.store.database import Database
from engine.store.event_reads import EventReads
from engine.store.queue_reads import QueueReads
from engine.store.readers import Readers
from engine.store.task_reads import TaskReads
from engine.store.work_reads import WorkReads


class Reads(TaskReads, QueueReads, EventReads, WorkReads):
    """Each call reads one moment of the store on a thread of its own. Raises `StoreError`, in words for a person."""

    def __init__(self, database: Database) -> None:
        self._readers = Readers(database)
        super().__init__(self._readers)

    def close(self) -> None:
        """Wait for what is being read, then stop."""
        self._readers.close()
