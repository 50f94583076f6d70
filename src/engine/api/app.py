"""The application: the contract's routes and the native ones behind one gate."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from engine.api import docs, errors, live, openapi
from engine.api.contracts import worker
from engine.api.gate import Gate
from engine.api.limits import RateLimiter
from engine.api.parts import Parts
from engine.api.v1 import keys, logs, queue, system, tasks, work


def create_app(parts: Parts) -> ASGIApp:
    """Everything that the engine serves at its root."""
    app = FastAPI(
        title="shopfloor",
        version=parts.version,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    errors.install(app)
    # the routes themselves: an included router is searched twice for each request, and hides what it can do from a 405
    for router in (worker, tasks, queue, logs, work, keys, system, docs, live):
        app.router.routes.extend(router.router.routes)
    limit = parts.settings.contracts.worker
    return Gate(app, parts.keys, RateLimiter(limit.rate_per_minute, limit.rate_per_hour), parts.counts)
