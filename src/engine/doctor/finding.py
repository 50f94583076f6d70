"""What a check says."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(BaseModel):
    """The answer of one check: `found` is what is, `advice` what to do about it, empty when nothing has to be done.

    `fail` means that the engine can't work, or not safely; `warn` that something will hurt sooner or later.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    found: str
    advice: str = ""


def ok(name: str, found: str, advice: str = "") -> Finding:
    return Finding(name=name, state=State.OK, found=found, advice=advice)


def warn(name: str, found: str, advice: str) -> Finding:
    return Finding(name=name, state=State.WARN, found=found, advice=advice)


def fail(name: str, found: str, advice: str) -> Finding:
    return Finding(name=name, state=State.FAIL, found=found, advice=advice)
