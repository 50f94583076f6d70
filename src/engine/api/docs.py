"""`/docs`: the description of the API as a page that loads nothing, since an engine's machine may have no internet."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

router = APIRouter()

_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { font: 600 1rem ui-monospace, monospace; margin: 2rem 0 .3rem; border-top: 1px solid #8884; padding-top: .8rem }
h3 { font: 600 1rem ui-monospace, monospace; margin: 1.5rem 0 .3rem }
p { margin: .3rem 0 }
table { border-collapse: collapse; font-size: 14px }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
"""


@router.get("/docs", include_in_schema=False)
async def page(request: Request) -> Response:
    """Every operation and every model, on one page."""
    return HTMLResponse("".join(_page(request.app.openapi())), headers=_HEADERS)


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    yield f"<h1>{title}</h1><p>{escape(info['description'])}</p>"
    yield '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>'
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method.upper(), path, operation)
    yield "<h2>Models</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
        yield _table(
            (field, _type(kind), "required" if field in schema.get("required", ()) else "")
            for field, kind in schema.get("properties", {}).items()
        )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{method} {escape(path)}</h2>"
    yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
    parameters = operation.get("parameters", [])
    yield _table(
        (found["name"], _type(found["schema"]), f"in the {found['in']}", escape(found.get("description", "")))
        for found in parameters
    )
    if body := operation.get("requestBody"):
        yield f"<p>Takes {_contents(body)}</p>"
    answers = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    yield "".join(f"<p>Answers {status} {_contents(answer)}</p>" for status, answer in answers.items())


def _contents(what: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{escape(media)} {_type(content.get('schema', {}))}" for media, content in what.get("content", {}).items()
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with links to the models that it names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return escape(" | ".join(map(str, schema["enum"])))
    limits = [f"{word} {schema[key]}" for key, word in _LIMITS.items() if key in schema]
    if schema.get("default") not in {None, ""} and not isinstance(schema["default"], list | dict):
        limits.append(f"default {schema['default']}")
    return escape(", ".join([str(schema.get("type", "")), *limits]))


_LIMITS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "maxLength": "longest",
    "maxItems": "at most",
    "pattern": "like",
}


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    return (
        "<table>"
        + "".join(
            f"<tr><td>{escape(first)}</td>" + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
            for first, *rest in rows
        )
        + "</table>"
    )
