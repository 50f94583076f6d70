"""API keys; only an admin's key gets this far."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from engine.api.openapi import takes
from engine.api.parts import parts_of, user_of
from engine.api.replies import body_of, nothing, reply, reply_list
from engine.protocol.work import CreateKey, KeyCreated, KeyView

router = APIRouter(tags=["keys"])


@router.get("/v1/keys", response_model=list[KeyView])
async def list_keys(request: Request) -> Response:
    """All keys, also revoked ones, without their secrets."""
    return reply_list(await parts_of(request).reads.keys())


@router.post("/v1/keys", status_code=201, response_model=KeyCreated, openapi_extra=takes(CreateKey))
async def create_key(request: Request) -> Response:
    """Make a key. Its secret is in this answer and nowhere else."""
    return reply(await parts_of(request).keys.create(await body_of(request, CreateKey)), 201)


@router.delete("/v1/keys/{key_id}", status_code=204, response_class=Response)
async def revoke_key(request: Request, key_id: str) -> Response:
    """End a key at once, and the connections that it opened."""
    await parts_of(request).keys.revoke(key_id, user_of(request))
    return nothing()
