"""Bodies in and out, each parsed or written once, by pydantic's core. What is null is left out: the worker contract's
fields are typed and never null, and so a reader takes an absent field for null."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from engine.api.errors import from_body
from engine.events import Event
from engine.protocol.events import EventView
from engine.protocol.wire import Request as Wish
from engine.store.text import when

Asked = TypeVar("Asked", bound=Wish)


async def body_of(request: Request, model: type[Asked]) -> Asked:
    """The JSON body as `model`. Raises Refusal: a 400 for what is no JSON, a 422 for what breaks the rules."""
    return parse(await request.body(), model)


async def optional_body_of(request: Request, model: type[Asked]) -> Asked | None:
    """As `body_of`; None when nothing was sent."""
    raw = await request.body()
    return parse(raw, model) if raw.strip() else None


def parse(raw: bytes, model: type[Asked]) -> Asked:
    """JSON bytes as `model`, each field of the very type that is documented; raises Refusal as `body_of` does."""
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise from_body(error.errors(include_url=False), model) from None


def reply(value: BaseModel, status: int = 200) -> Response:
    """One object as JSON."""
    return Response(
        value.__pydantic_serializer__.to_json(value, exclude_none=True), status, media_type="application/json"
    )


def reply_list(values: object, status: int = 200) -> Response:
    """A list of objects as JSON."""
    return Response(to_json(values, exclude_none=True), status, media_type="application/json")


def event_view(event: Event) -> EventView:
    """An event as the wire shows it. What is null in its data says that a field was cleared, and stays."""
    return EventView(seq=event.seq, at=when(event.at), kind=event.kind, subject=event.subject, data=dict(event.data))


def nothing() -> Response:
    """204: done, and there is nothing to say."""
    return Response(status_code=204)
