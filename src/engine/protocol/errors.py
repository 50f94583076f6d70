"""The worker contract's error body."""

from pydantic import Field

from engine.protocol.states import ErrorCode
from engine.protocol.wire import View


class FieldError(View):
    """One bad input: which field, what was given, what is allowed."""

    field: str
    message: str
    value: str | None = None


class ErrorBody(View):
    """`error`, `code` and `trace_id` as documented; `fields` names each bad input of a 422."""

    error: str
    code: ErrorCode
    trace_id: str
    fields: list[FieldError] = Field(default_factory=list)
