"""Whether the disk has room for what is to start."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

LOOKS_S = 1.0
"""How old a look at the free space may be."""
FULL_S = 5.0
"""How long nothing is tried after something found no room, whatever the look said."""
_INODES = 1000
"""Fewer than these left count as a full disk: every attempt needs some."""

log = logging.getLogger(__name__)


class DiskRoom:
    """`free_mb` looks at the disk; below `reserve_mb` nothing is started."""

    def __init__(self, free_mb: Callable[[], int], reserve_mb: int) -> None:
        self._free_mb = free_mb
        self._reserve_mb = reserve_mb
        self._look_at = 0.0
        self._short_of: int | None = None

    def short_of(self, now: float) -> int | None:
        """The free space (MB) while that is too little; None while there is room."""
        if now >= self._look_at:
            self._look_at = now + LOOKS_S
            free = self._free_mb()
            low = free < max(self._reserve_mb, 1)
            if low != (self._short_of is not None):
                log.warning("the disk is nearly full: nothing is started" if low else "there is room on the disk again")
            self._short_of = free if low else None
        return self._short_of

    def full(self, now: float) -> int:
        """Something found no room, whatever the free space is: there is none until the next look."""
        self._look_at = now + FULL_S
        self._short_of = self._free_mb()
        return self._short_of


def free_on(path: Path) -> int:
    """The free space on the disk that holds `path`, in MB; 0 when no further files fit on it."""
    disk = os.statvfs(path)
    if disk.f_files and disk.f_favail < _INODES:
        return 0
    return disk.f_bavail * disk.f_frsize >> 20
