"""What the engine answers when a person asks for something that can't be done."""

from collections.abc import Sequence

from engine.protocol.errors import FieldError
from engine.protocol.states import ErrorCode


class Problem(Exception):
    """A command that is refused: `code` for programs, `message` for people, `fields` for each bad input."""

    def __init__(self, code: ErrorCode, message: str, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = tuple(fields)


def invalid(field: str, message: str, value: object = None) -> Problem:
    """A 422 about one field: what was given, and what is allowed."""
    return Problem(
        ErrorCode.VALIDATION_ERROR,
        f"{field}: {message}",
        [FieldError(field=field, message=message, value=None if value is None else str(value))],
    )
