"""The engine's own description of its API, played against it: nothing breaks it, and what succeeds is as described."""

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.engine_process import EngineProcess, wait_for

pytestmark = pytest.mark.live

LEFT_OUT = {
    "POST /v1/tasks": "would run commands made up at random; the worker contract's tests submit",
    "POST /v1/tasks/batch": "the same",
    "GET /v1/tasks/{task_id}/logs/stream": "no JSON",
    "POST /v1/snapshots/archive": "no JSON",
    "GET /ws": "a WebSocket",
}
MET = {200, 201, 204, 206, 400, 401, 404, 405, 409, 413, 416, 422, 503}


def test_every_operation_answers_as_it_is_described(shared_engine: EngineProcess) -> None:
    with shared_engine.client() as client:
        document = client.get("/openapi.json")
        task = client.post("/v1/tasks", {"job_name": "described", "command": ["echo", "here"]})
        wait_for(client, task["id"])
    schema: Any = schemathesis.openapi.from_dict(document)
    operations = {operation.label: operation for operation in (found.ok() for found in schema.get_all_operations())}
    assert set(operations) > set(LEFT_OUT)
    for label in sorted(set(operations) - set(LEFT_OUT)):
        play(operations[label], task["id"], shared_engine)
    log = (shared_engine.home / "logs" / "engine.log").read_text()
    assert not re.search("^Traceback", log, re.MULTILINE)  # elsewhere in a line it is what a client asked for


def play(operation: Any, task_id: str, engine: EngineProcess) -> None:
    base = engine.facts()["url"]
    headers = {"X-API-Key": (engine.home / "key").read_text().strip()}

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        if "task_id" in (case.path_parameters or {}):
            case.path_parameters["task_id"] = task_id
        response = case.call(base_url=base, headers=headers)
        assert response.status_code in MET, f"{operation.label}: {response.status_code} {response.text}"
        if response.status_code < 300:
            case.validate_response(response, checks=[status_code_conformance, response_schema_conformance])

    ask()
