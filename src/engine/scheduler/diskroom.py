"""Whether the disk has room for what is to start."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

LOOKS_S = 1.0
"""How old a look at the free space may be."""

log = logging.getLogger(__name__)


class DiskRoom:
    """`free_mb` looks at the disk; below `reserve_mb` nothing is started."""

    def __init__(self, free_mb: Callable[[], int], reserve_mb: int) -> None:
        self._free_mb = free_mb
        self._reserve_mb = reserve_mb
        self._looked_at = 0.0
        self._short_of: int | None = None

    def short_of(self, now: float) -> int | None:
        """The free space (MB) while that is too little; None while there is room."""
        if not 0.0 <= now - self._looked_at < LOOKS_S:
            self._looked_at = now
            free = self._free_mb()
            low = free < self._reserve_mb
            if low != (self._short_of is not None):
                log.warning("the disk is nearly full: nothing is started" if low else "there is room on the disk again")
            self._short_of = free if low else None
        return self._short_of

    def full(self, now: float) -> int:
        """Something could not be made, whatever the free space is: there is no room until the next look."""
        self._looked_at = now
        self._short_of = self._free_mb()
        return self._short_of


def free_on(path: Path) -> int:
    """The free space on the disk that holds `path`, in MB."""
    return shutil.disk_usage(path).free >> 20
