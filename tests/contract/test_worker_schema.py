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

from tests.engine_process import EngineProcess, wait_for

DOCUMENT = Path(__file__).with_name("worker.openapi.yaml")
ERRORS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "BAD_REQUEST",
    409: "CONFLICT",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    503: "SERVICE_UNAVAILABLE",
}

schema = schemathesis.openapi.from_path(DOCUMENT)


CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@schema.exclude(path="/ws").parametrize()
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
def test_whatever_is_asked_is_answered_as_documented(case: Any, shared_engine: EngineProcess) -> None:
    response = case.call(**_access(shared_engine))
    if response.status_code >= 400:
        body = response.json()
        assert set(body) <= {"error", "code", "trace_id", "fields"}
        assert body["code"] == ERRORS[response.status_code]
        assert body["error"]
        assert body["trace_id"] == response.headers["x-trace-id"][0]
        return
    case.validate_response(response, checks=CHECKS)


def test_what_succeeds_is_answered_as_documented(shared_engine: EngineProcess, tmp_path: Path) -> None:
    """Every operation that can succeed, on tasks in each of the states that a client meets."""

    def ask(method: str, path: str, status: int, body: Any = None, **parameters: str) -> Any:
        case = schema[path][method].Case(path_parameters=parameters, body=body, media_type="application/json")
        response = case.call(**_access(shared_engine))
        assert response.status_code == status, response.text
        case.validate_response(response, checks=CHECKS)
        return response.json() if response.content else None

    (tmp_path / "train.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    ask("POST", "/v1/experiments", 201, {"name": "documented"})
    with shared_engine.client() as client:
        stored = client.post("/v1/snapshots", {"path": str(tmp_path), "experiment": "documented"})
        whole = {
            "job_name": "documented",
            "priority": 1,
            "args": "0",
            "snapshot_id": stored["id"],
            "datasets": [],
            "dataset_specs": [],
            "cpu": 1,
            "memory_gb": 1,
            "gpu": 1,
            "metadata": {"team": "digits"},
        }
        completed = ask("POST", "/v1/tasks", 201, whole)["id"]
        failed = ask("POST", "/v1/tasks", 201, {"job_name": "documented", "args": "3"})["id"]
        running = client.post("/v1/tasks", {"job_name": "long", "command": ["sleep", "600"]})["id"]
        assert wait_for(client, completed)["status"] == "completed"
        assert wait_for(client, failed)["status"] == "failed"
        wait_for(client, running, "running")
        for task_id in (completed, failed, running):
            ask("GET", "/v1/tasks/{taskId}", 200, taskId=task_id)
        ask("DELETE", "/v1/tasks/{taskId}", 204, taskId=running)
        wait_for(client, running)
        ask("GET", "/v1/tasks/{taskId}", 200, taskId=running)
    for path in ("/health", "/v1/tasks", "/v1/queue", "/v1/experiments", "/v1/jupyter/services"):
        ask("GET", path, 200)


def _access(engine: EngineProcess) -> dict[str, Any]:
    key = (engine.home / "key").read_text().strip()
    return {"base_url": engine.facts()["url"], "headers": {"X-API-Key": key}}
