"""Two clocks: the one on the wall, which people set, and a steady one, by which the engine waits.

A machine's clock may be set forward or back by hours while the engine runs. What is written down carries the wall's
time; timeouts, retries and reservations are waited for on the steady clock, so that none comes early or stands still.
"""

import time
from collections.abc import Callable
from typing import NamedTuple


def steady() -> float:
    """Seconds that go on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Times(NamedTuple):
    """`wall` gives seconds since the epoch; `steady` seconds since some moment."""

    wall: Callable[[], float]
    steady: Callable[[], float]

    def steadily(self, at: float) -> float:
        """A time of the wall clock, as it shows now, on the steady one."""
        return self.steady() + (at - self.wall())
