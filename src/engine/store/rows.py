"""Rows as the engine passes them on, without pydantic: cheap to make by the hundred thousand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `at` is seconds since the epoch; `data` is not to be changed by whoever reads it."""

    seq: int
    at: float
    kind: str
    subject: str
    data: Mapping[str, Any]
