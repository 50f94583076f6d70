"""What every wire model has in common."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Row = TypeVar("Row")


class Request(BaseModel):
    """Something a client sends. An unknown field is refused by name rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """Something the engine shows. A reader ignores fields that it does not know."""

    model_config = ConfigDict(frozen=True)


class Window(View, Generic[Row]):
    """A slice of a list: `rows` are the ones from `offset` on, `total` counts all that match.

    `seq` is the newest event that the slice already contains; follow the stream from there.
    """

    rows: list[Row]
    total: int
    limit: int
    offset: int
    seq: int
