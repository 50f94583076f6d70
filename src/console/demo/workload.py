"""What the demo submits: a small factory's day, with something in every state."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent / "project"
GROUP = "sweep"
GROUP_LIMIT = 2
CORES = 4
MEMORY_GB = 8
NEVER_ENDING = "notebook-kernel"
_PYTHON = Path(sys.executable).name
"""The engine of the demo finds it first on its path: what a task runs is to be readable on the screen."""


@dataclass(frozen=True, slots=True)
class Step:
    """A task of the demo. `after` names other steps; `ends` is the state that it is meant to end in."""

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    ends: str = "completed"
    more: Mapping[str, Any] = field(default_factory=dict)

    def request(self, ids: Mapping[str, str], snapshot_id: str) -> dict[str, Any]:
        """The body to submit, once `ids` knows the steps before."""
        return {
            "job_name": self.name,
            "command": list(self.command),
            "after": [ids[name] for name in self.after],
            "snapshot_id": snapshot_id,
            "metadata": {"made-by": "demo"},
            **self.more,
        }


def steps(pace: float, sweeps: int) -> list[Step]:
    """The tasks, each behind those that it waits for. `pace` stretches the time that they take."""
    day = [
        Step("prepare-data", _script("prepare.py", 0.25 * pace), more={"priority": 9}),
        Step(
            "train-large",
            _script("train.py", 40, 0.25 * pace),
            after=("prepare-data",),
            more={"priority": 8, "cpu": 3, "memory_gb": 6},
        ),
        Step("train-small", _script("train.py", 12, 0.25 * pace), after=("prepare-data",), more={"priority": 7}),
        Step("evaluate", _script("train.py", 4, 0.25 * pace), after=("train-large", "train-small")),
        Step("tokenize", _script("tokenize_corpus.py", 4000, 0.05 * pace), more={"priority": 6}),
        Step("export-weights", _script("export.py", 0.5 * pace), more={"max_retries": 2}),
        Step("check-licences", (_PYTHON, "-c", "raise SystemExit('3 files have no licence')"), ends="failed"),
        Step("publish", ("true",), after=("check-licences",), ends="skipped"),
        Step("mirror-download", ("sleep", "600"), ends="failed", more={"timeout_s": 3 * pace}),
        Step(NEVER_ENDING, ("sleep", "3600"), ends="cancelled", more={"priority": 10, "cpu": 0}),
    ]
    sweep = [
        Step(
            f"sweep-{number:02d}",
            _script("train.py", 6 + number % 5, 0.2 * pace),
            more={"priority": 3 + number % 4, "group": GROUP},
        )
        for number in range(1, sweeps + 1)
    ]
    return day + sweep


def _script(name: str, *words: object) -> tuple[str, ...]:
    return (_PYTHON, name, *(str(word) for word in words))
