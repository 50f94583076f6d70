"""When a failed attempt is tried again, and how often one that was interrupted is."""

from random import Random

MOST_INTERRUPTIONS = 5
"""Attempts in a row that may be interrupted and given back; one more fails the task. Each may have been the task's
own doing (it took the machine down), so this is not without end."""

JITTER = 0.1
"""Retries of tasks that failed together are spread by this share of their delay, up or down."""


def delay(retry: int, base_s: float, cap_s: float, random: Random) -> float:
    """Seconds before the `retry`th retry (from 1): `base_s`, doubled each time, at most `cap_s`, with jitter."""
    doublings = min(retry - 1, 64)
    return min(cap_s, base_s * 2.0**doublings) * (1 + random.uniform(-JITTER, JITTER))
