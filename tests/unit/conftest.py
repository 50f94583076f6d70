"""Fixtures of the unit tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scheduler_rig import MakeRig, Rig


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[MakeRig]:
    """Makes schedulers on a real database, each on a home of its own."""
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        made.append(Rig(tmp_path / str(len(made)), **options))
        return made[-1]

    yield make
    for rig in made:
        rig.crash()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig(cpu=2)
