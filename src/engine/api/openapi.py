"""The description of the API that it serves of itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engine.protocol.errors import ErrorBody

_SCHEMA = "#/components/schemas/{model}"
_bodies: set[type[BaseModel]] = set()

_DESCRIPTION = """\
Tasks, queue, experiments and logs of one engine. The routes of the ML Worker contract and the native ones share the
root. Send a key as `X-API-Key` or as `Authorization: Bearer`; `/health` needs none. A field that is absent is null.
Live changes come over the WebSocket `/ws` (`?since=SEQ` replays, `?topics=task,queue` narrows, `?token=` carries the
key of a browser).
"""
_ERRORS = {
    "400": "Invalid request",
    "401": "Authentication required",
    "403": "Insufficient permissions",
    "404": "Resource not found",
    "422": "Validation failed",
    "429": "Too many requests; `Retry-After` says when to come back",
    "500": "Internal server error",
    "503": "Not possible now",
}


def takes(model: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON body itself."""
    _bodies.add(model)
    schema = {"$ref": _SCHEMA.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


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
    content = {"application/json": {"schema": {"$ref": _SCHEMA.format(model="ErrorBody")}}}
    for status, description in _ERRORS.items():
        if needs_key or status == "500":
            operation["responses"][status] = {"description": description, "content": content}
