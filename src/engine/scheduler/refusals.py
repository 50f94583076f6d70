"""A command that the scheduler refuses, found while the store was being changed."""

from engine.protocol.states import ErrorCode


class Refused(Exception):
    """`field` and `value` name the bad input, where it is one."""

    def __init__(self, code: ErrorCode, message: str, field: str | None = None, value: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.value = value


def no_task(task_id: str) -> Refused:
    return Refused(ErrorCode.NOT_FOUND, f"no task {task_id}")
