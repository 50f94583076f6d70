"""The worker contract's document, played against an engine: what it answers is what the document says."""

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.engine_process import EngineProcess

DOCUMENT = Path(__file__).with_name("worker.openapi.yaml")
ERRORS = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT"} | {
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    503: "SERVICE_UNAVAILABLE",
}

schema = schemathesis.openapi.from_path(DOCUMENT)


@schema.exclude(path="/ws").parametrize()
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
def test_answers_are_as_documented(case: Any, shared_engine: EngineProcess) -> None:
    base = shared_engine.facts()["url"]
    key = (shared_engine.home / "key").read_text().strip()
    response = case.call(base_url=base, headers={"X-API-Key": key})
    if response.status_code >= 400:
        body = response.json()
        assert set(body) <= {"error", "code", "trace_id", "fields"}
        assert body["code"] == ERRORS[response.status_code]
        assert body["error"]
        assert body["trace_id"] == response.headers["x-trace-id"][0]
        return
    case.validate_response(
        response, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
    )
