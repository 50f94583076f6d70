"""Every failure leaves in the worker contract's format: `error`, `code`, `trace_id`, and `fields` of a 422."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from engine.control.errors import Problem
from engine.protocol.errors import FieldError
from engine.protocol.states import ErrorCode
from engine.store.errors import Conflict, DiskFull, LockedDatabase, StoreError
from engine.store.filters import FilterError
from engine.store.orders import SortError

log = logging.getLogger(__name__)

STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.VALIDATION_ERROR: 422,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}
_CODE_OF_STATUS: Final = {status: code for code, status in STATUS.items()}
_MESSAGE_OF_STATUS: Final = {404: "Resource not found", 405: "Method not allowed here", 413: "The body is too large"}
_STORE_WORDS: Final[Mapping[type[StoreError], str]] = {
    DiskFull: "has no room left on its disk; nothing was changed",
    LockedDatabase: "is held by another program; nothing was changed",
}
_VALUE_SHOWN: Final = 100
_METHOD_NOT_ALLOWED: Final = 405
_MESSAGE_SHOWN: Final = 1500
_FIELDS_SHOWN: Final = 100


class Refusal(Exception):
    """A request that is answered with an error. `status` overrides the one that belongs to `code`."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields
        self.headers = headers
        self.status = status

    @property
    def http_status(self) -> int:
        return self.status or STATUS[self.code]

    def body(self, trace_id: str) -> bytes:
        """The error body as JSON bytes."""
        error = _clipped(self.message, _MESSAGE_SHOWN)
        content: dict[str, object] = {"error": error, "code": self.code, "trace_id": trace_id}
        if self.fields:
            content["fields"] = [field.model_dump(exclude_none=True) for field in self.fields]
        return to_json(content)

    def response(self, trace_id: str) -> Response:
        return Response(self.body(trace_id), self.http_status, self.headers, media_type="application/json")


def internal_error() -> Refusal:
    """What a client hears of a fault of ours; the rest is in the log, under the same trace id."""
    return Refusal(ErrorCode.INTERNAL_ERROR, "An error occurred")


def not_found(what: str, name: str) -> Refusal:
    """`what` is the kind of thing ("task"), `name` what the client called it."""
    return Refusal(ErrorCode.NOT_FOUND, f"No {what} {_shown(name)}")


def bad_parameter(field: str, value: object, allowed: str) -> Refusal:
    """A query parameter that can't be used: a 400 that names it, what was given and what is allowed."""
    shown = _shown(value)
    return Refusal(
        ErrorCode.BAD_REQUEST,
        f"{field}: {shown} is not {allowed}",
        [FieldError(field=field, message=f"must be {allowed}", value=shown)],
    )


def install(app: FastAPI) -> None:
    """Answer each kind of failure; what nobody foresaw is the gate's."""
    for kind, translate in _TRANSLATIONS.items():
        app.add_exception_handler(kind, _answering(translate))


def from_problem(problem: Problem) -> Refusal:
    """What the operator's commands refuse, as an answer."""
    fields = [
        FieldError(
            field=field.field,
            message=_clipped(field.message, _MESSAGE_SHOWN),
            value=None if field.value is None else _shown(field.value),
        )
        for field in problem.fields
    ]
    return Refusal(problem.code, problem.message, fields)


def from_body(errors: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> Refusal:
    """Pydantic's findings about a body: a 400 for what is no JSON, a 422 that names each field against the rules."""
    for error in errors:
        if error["type"] == "json_invalid":
            return Refusal(ErrorCode.BAD_REQUEST, f"The body is not JSON: {error['ctx']['error']}")
        if not error["loc"]:
            return Refusal(ErrorCode.VALIDATION_ERROR, "The body must be a JSON object")
    return _named(ErrorCode.VALIDATION_ERROR, [_field(error, error["loc"], model) for error in errors])


def _from_parameters(error: RequestValidationError) -> Refusal:
    """The framework reads parameters alone, so what it finds is about one: its place stands before its name."""
    return _named(ErrorCode.BAD_REQUEST, [_field(found, found["loc"][1:]) for found in error.errors()])


def _named(code: ErrorCode, fields: Sequence[FieldError]) -> Refusal:
    first = fields[0]
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    return Refusal(code, f"{first.field}: {first.message}{more}", fields[:_FIELDS_SHOWN])


def _field(error: Mapping[str, Any], where: Sequence[object], model: type[BaseModel] | None = None) -> FieldError:
    message = str(error["msg"])
    if error["type"] == "extra_forbidden":
        known = f"; there are {', '.join(model.model_fields)}" if model is not None and len(where) == 1 else ""
        message = f"There is no such field{known}"
    given = error.get("input")
    value = None if error["type"] == "missing" or isinstance(given, dict | list) else _shown(given)
    return FieldError(field=_clipped(".".join(map(str, where)), _VALUE_SHOWN), message=message, value=value)


def _shown(value: object) -> str:
    """A value as the client wrote it in JSON; text stands without its quotes."""
    text = to_json(value).decode() if value is None or isinstance(value, bool) else str(value)
    return _clipped(text, _VALUE_SHOWN)


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _from_filter(error: FilterError) -> Refusal:
    field = "sort" if isinstance(error, SortError) else "filter"
    return Refusal(ErrorCode.BAD_REQUEST, f"{field}: {error}", [FieldError(field=field, message=str(error))])


def _from_store(error: StoreError) -> Refusal:
    """The text of a store's failure may hold a path, so it stays in the log."""
    if isinstance(error, Conflict):
        return Refusal(ErrorCode.CONFLICT, "This is there already")
    why = _STORE_WORDS.get(type(error), "can't take or read this now; its log says why")
    return Refusal(ErrorCode.SERVICE_UNAVAILABLE, f"The engine's store {why}", headers={"Retry-After": "1"})


def _from_http(error: HTTPException) -> Refusal:
    code = _CODE_OF_STATUS.get(error.status_code, ErrorCode.BAD_REQUEST)
    message = _MESSAGE_OF_STATUS.get(error.status_code, "Invalid request format")
    return Refusal(code, message, headers=error.headers, status=error.status_code)


_TRANSLATIONS: Final[Mapping[type[Exception], Callable[[Any], Refusal]]] = {
    Refusal: lambda refusal: refusal,
    Problem: from_problem,
    StoreError: _from_store,
    FilterError: _from_filter,
    RequestValidationError: _from_parameters,
    HTTPException: _from_http,
    Exception: lambda _: internal_error(),
}


def _answering(translate: Callable[[Any], Refusal]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        trace_id: str = request.scope["state"]["trace_id"]
        if isinstance(error, StoreError):
            log.error("%s [trace %s]", error, trace_id)
        refusal = translate(error)
        if refusal.http_status == _METHOD_NOT_ALLOWED:
            refusal.headers = {"Allow": ", ".join(_methods(request))}
        request.scope["state"]["refused"] = refusal.message
        return refusal.response(trace_id)

    return answer


def _methods(request: Request) -> list[str]:
    """What can be asked of a path. The framework names the methods of one of its routes alone."""
    allowed: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            allowed |= getattr(route, "methods", None) or set()
    return sorted(allowed | {"HEAD"} if "GET" in allowed else allowed)
