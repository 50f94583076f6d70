"""The description of the API that it serves of itself."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engine.protocol.errors import ErrorBody

_SCHEMA: Final = "#/components/schemas/{model}"
_ERROR_CONTENT: Final = {"application/json": {"schema": {"$ref": _SCHEMA.format(model="ErrorBody")}}}
_bodies: set[type[BaseModel]] = set()

_DESCRIPTION = """\
Tasks, queue, experiments and logs of one engine. The routes of the ML Worker contract and the native ones share the
root. Send a key as `X-API-Key` or as `Authorization: Bearer`; `/health` needs none. In an answer, a field
that is absent is null; in a request, a field that is not known is refused by its name.
An error is an `ErrorBody`; its `trace_id` is also in the header `X-Trace-Id` and in the engine's log.
Live changes come over the WebSocket `/ws` (`?since=SEQ` replays, `?topics=task,queue` narrows, `?token=` carries the
key of a browser).
"""
_ERRORS = {
    "400": "Invalid request",
    "401": "Authentication required",
    "403": "Insufficient permissions",
    "404": "Resource not found",
    "409": "Not possible as things stand",
    "422": "Validation failed",
    "429": "Too many requests; `Retry-After` says when to come back",
    "500": "Internal server error",
    "503": "Not possible now",
}
_WEBSOCKET: Final[dict[str, Any]] = {
    "tags": ["worker contract"],
    "summary": "WebSocket connection",
    "description": "Messages are JSON: `task_update`, `task_complete`, `event`, `lagged` and `ping`, each with `seq`.",
    "operationId": "follow_ws_get",
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": kind}, "description": description}
        for name, kind, description in (
            ("since", "integer", "Replay what came after this number; default: from now on"),
            ("topics", "string", "Comma-separated: `task`, `queue`, `task.failed`, `task:ID`; default: everything"),
            ("batch", "string", "`1` packs what is there into one JSON array for each frame"),
            ("token", "string", "The key, for a browser, which can't set a header"),
        )
    ],
    "responses": {"101": {"description": "WebSocket connection established"}},
}


def takes(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON body itself."""
    _bodies.add(model)
    schema = {"$ref": _SCHEMA.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def gives(media_type: str, ranges: bool = False) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers with something else than JSON."""
    content = {"content": {media_type: {"schema": {"type": "string"}}}}
    found: dict[int | str, dict[str, Any]] = {200: {"description": "All of it", **content}}
    if ranges:
        found[206] = {"description": "The bytes that `Range` asks for", **content}
        found[416] = {"description": "The range starts behind the end", "content": _ERROR_CONTENT}
    return found


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document; made once, when someone first asks for it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        _, found = models_json_schema(
            [(model, "validation") for model in sorted(_bodies | {ErrorBody}, key=lambda model: model.__name__)],
            ref_template=_SCHEMA,
        )
        for schema in schemas.values():
            _leave_out_nulls(schema)
        schemas.update(found["$defs"])
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        components["securitySchemes"] = {
            "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"ApiKeyAuth": []}, {"Bearer": []}]
        document["paths"]["/ws"] = {"get": _WEBSOCKET}
        for path, methods in document["paths"].items():
            for operation in methods.values():
                _add_errors(operation, needs_key=path != "/health")
        app.openapi_schema = document
    return app.openapi_schema


def _leave_out_nulls(schema: dict[str, Any]) -> None:
    """What may be null is not sent when it is."""
    nullable = {
        name
        for name, field in schema.get("properties", {}).items()
        if any(kind.get("type") == "null" for kind in field.get("anyOf", ()))
    }
    if nullable:
        schema["required"] = [name for name in schema.get("required", ()) if name not in nullable]


def _add_errors(operation: dict[str, Any], needs_key: bool) -> None:
    if not needs_key:
        operation["security"] = []
    for status, description in _ERRORS.items():
        if needs_key or status == "500":
            operation["responses"][status] = {"description": description, "content": _ERROR_CONTENT}
