"""The worker contract's promises that a schema can't say: defaults, limits, errors, what a task runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engine_process import EngineProcess, wait_for

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def http(shared_engine: EngineProcess) -> Iterator[httpx.Client]:
    key = (shared_engine.home / "key").read_text().strip()
    with httpx.Client(base_url=shared_engine.facts()["url"], headers={"X-API-Key": key}, timeout=20) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_task_goes_from_submitted_to_completed(http: httpx.Client, shared_engine: EngineProcess) -> None:
    answer = http.post("/v1/tasks", json={"job_name": "hello", "command": ["echo", "good morning"]})
    assert answer.status_code == 201
    task = answer.json()
    assert task["status"] == "queued"
    assert task["priority"] == 5
    with shared_engine.client() as client:
        done = wait_for(client, task["id"])
    assert done["status"] == "completed"
    assert done["output"] == "good morning\n"
    assert done["created_at"] <= done["started_at"] <= done["ended_at"]
    assert done["user_id"]


def test_nothing_to_run_is_a_422_that_says_so(http: httpx.Client) -> None:
    answer = http.post("/v1/tasks", json={"job_name": "nothing"})
    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "nothing to run" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "job_name"),
        ({"job_name": "not a name"}, "job_name"),
        ({"job_name": "x" * 65}, "job_name"),
        ({"job_name": "a", "priority": 11}, "priority"),
        ({"job_name": "a", "priority": 0}, "priority"),
        ({"job_name": "a", "priority": "5"}, "priority"),
        ({"job_name": "a", "priority": True}, "priority"),
        ({"job_name": "a", "priority": None}, "priority"),
        ({"job_name": "a", "cpu": -1}, "cpu"),
        ({"job_name": "a", "metadata": {"k": 1}}, "metadata.k"),
        ({"job_name": "a", "metadata": {"path": 1}}, "metadata.path"),
        ({"job_name": "a", "command": ["true"], "metadata": {"k": "x" * 70_000}}, "metadata"),
        ({"job_name": "a", "command": ["true", "x" * 140_000]}, "command"),
        ({"job_name": "a", "command": ["x" * 70_000] * 16}, "command"),
        ({"job_name": "a", "command": ["true"], "env": {"A": "x" * 140_000}}, "env.A"),
        ({"job_name": "a", "command": ["true"], "args": "a\0b"}, "args"),
        ({"job_name": "a", "dataset_specs": [{"name": "d"}]}, "dataset_specs.0.source"),
        ({"job_name": "a", "colour": "red"}, "colour"),
        ({"job_name": "a", "command": []}, "command"),
    ],
)
def test_a_bad_body_names_the_field(http: httpx.Client, body: dict[str, object], field: str) -> None:
    answer = http.post("/v1/tasks", json=body)
    assert code(answer) == (422, "VALIDATION_ERROR")
    assert [found["field"] for found in answer.json()["fields"]] == [field]
    assert answer.json()["fields"][0]["message"]


def test_an_error_shows_what_was_given_as_json_and_what_there_is(http: httpx.Client) -> None:
    (found,) = http.post("/v1/tasks", json={"job_name": "a", "priority": None}).json()["fields"]
    assert found["value"] == "null"
    (found,) = http.post("/v1/tasks", json={"job_name": "a", "colour": True}).json()["fields"]
    assert found["value"] == "true"
    assert "job_name, priority" in found["message"]
    assert http.post("/v1/tasks", json=[]).json()["error"] == "The body must be a JSON object"


def test_what_is_quoted_in_an_error_is_cut(http: httpx.Client) -> None:
    answer = http.get(f"/v1/tasks/{'x' * 9000}")
    assert code(answer) == (404, "NOT_FOUND")
    answer_to_after = http.post("/v1/tasks", json={"job_name": "a", "command": ["true"], "after": ["y" * 9000]})
    assert code(answer_to_after) == (422, "VALIDATION_ERROR")
    assert max(len(answer.content), len(answer_to_after.content)) < 4000


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"job_name": }'])
def test_what_is_no_json_is_a_400(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/tasks", content=body, headers={"Content-Type": "application/json"})
    assert code(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "query",
    ["limit=1001", "limit=-1", "limit=many", "offset=-1", "status=asleep", "sort=colour", "filter=priority:high"],
)
def test_a_bad_query_is_a_400_that_names_it(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/v1/tasks?{query}")
    assert code(answer) == (400, "BAD_REQUEST")
    assert answer.json()["fields"][0]["field"] == query.partition("=")[0]


def test_the_list_has_the_documented_defaults(http: httpx.Client) -> None:
    page = http.get("/v1/tasks").json()
    assert (page["limit"], page["offset"]) == (50, 0)
    assert http.get("/v1/tasks?limit=1000").status_code == 200


def test_what_is_not_there_is_a_404(http: httpx.Client) -> None:
    for answer in (
        http.get("/v1/tasks/zzzzzzzz"),
        http.delete("/v1/tasks/zzzzzzzz"),
        http.get("/v1/nowhere"),
        http.delete("/v1/jupyter/services/zzz"),
        http.get("/v1/tasks/zzzzzzzz/logs"),
    ):
        assert code(answer) == (404, "NOT_FOUND")


def test_a_method_that_is_not_there_is_a_405_that_says_which_are(http: httpx.Client) -> None:
    answer = http.put("/v1/tasks", json={})
    assert code(answer) == (405, "BAD_REQUEST")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert http.put("/v1/tasks/zzzzzzzz").headers["allow"] == "DELETE, GET, HEAD, PATCH"


@pytest.mark.parametrize("path", ["/health", "/v1/tasks?limit=1", "/v1/tasks/zzzzzzzz"])
def test_head_is_get_without_the_body(http: httpx.Client, path: str) -> None:
    head, get = http.head(path), http.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) > 0
    assert not head.content


def test_head_of_a_log_that_is_followed_ends(http: httpx.Client) -> None:
    task = http.post("/v1/tasks", json={"job_name": "long", "command": ["sleep", "600"]}).json()
    assert http.head(f"/v1/tasks/{task['id']}/logs/stream", timeout=5).status_code == 200
    http.delete(f"/v1/tasks/{task['id']}")


def test_cancelling_is_idempotent(http: httpx.Client, shared_engine: EngineProcess) -> None:
    task = http.post("/v1/tasks", json={"job_name": "long", "command": ["sleep", "600"]}).json()
    assert http.delete(f"/v1/tasks/{task['id']}").status_code == 204
    with shared_engine.client() as client:
        ended = wait_for(client, task["id"])
    assert ended["status"] == "failed"
    assert ended["state"] == "cancelled"
    assert "cancelled by" in ended["error"]
    assert http.delete(f"/v1/tasks/{task['id']}").status_code == 204


def test_cancelling_what_completed_changes_nothing(http: httpx.Client, shared_engine: EngineProcess) -> None:
    task = http.post("/v1/tasks", json={"job_name": "short", "command": ["true"]}).json()
    with shared_engine.client() as client:
        wait_for(client, task["id"])
    assert http.delete(f"/v1/tasks/{task['id']}").status_code == 204
    assert http.get(f"/v1/tasks/{task['id']}").json()["status"] == "completed"


def test_an_ask_that_this_machine_never_meets_is_refused(http: httpx.Client) -> None:
    answer = http.post("/v1/tasks", json={"job_name": "huge", "command": ["true"], "cpu": 4000})
    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "4" in answer.json()["error"]


def test_a_task_of_an_experiment_runs_its_newest_snapshot(
    http: httpx.Client, shared_engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("import sys; print('trained with', sys.argv[1:])")
    made = http.post("/v1/experiments", json={"name": "digits", "description": "all ten"})
    assert made.status_code == 201
    assert made.json()["status"] == "active"
    stored = http.post("/v1/snapshots", json={"path": str(tmp_path), "experiment": "digits"})
    assert stored.status_code == 201
    listed = {row["name"]: row for row in http.get("/v1/experiments").json()}
    assert listed["digits"]["commit_id"] == stored.json()["id"]
    task = http.post("/v1/tasks", json={"job_name": "digits", "args": "--lr '0.1 or so' $HOME"})
    assert task.status_code == 201
    with shared_engine.client() as client:
        done = wait_for(client, task.json()["id"])
    assert done["output"] == "trained with ['--lr', '0.1 or so', '$HOME']\n"
    assert done["snapshot_id"] == stored.json()["id"]


def test_an_experiment_s_name_is_taken_once(http: httpx.Client) -> None:
    assert http.post("/v1/experiments", json={"name": "twice"}).status_code == 201
    assert code(http.post("/v1/experiments", json={"name": "twice"})) == (409, "CONFLICT")


def test_notebooks_say_that_they_can_not_be_started_yet(http: httpx.Client) -> None:
    assert http.get("/v1/jupyter/services").json() == []
    assert code(http.post("/v1/jupyter/services", json={"name": "book"})) == (503, "SERVICE_UNAVAILABLE")


def test_health_needs_no_key_and_everything_else_does(shared_engine: EngineProcess) -> None:
    with httpx.Client(base_url=shared_engine.facts()["url"]) as stranger:
        assert stranger.get("/health").json()["status"] == "healthy"
        for path in ("/v1/tasks", "/v1/queue", "/metrics", "/v1/keys", "/v1/nowhere"):
            assert code(stranger.get(path)) == (401, "UNAUTHORIZED")


def test_the_queue_counts_in_the_contract_s_words(http: httpx.Client) -> None:
    stats = http.get("/v1/queue").json()
    assert {"queued", "running", "completed", "failed", "workers"} <= set(stats)
    assert all(isinstance(stats[word], int) for word in ("queued", "running", "completed", "failed", "workers"))


def test_the_description_of_the_api_holds_both_apis(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert {"/v1/tasks", "/v1/tasks/batch", "/v1/jupyter/services", "/health"} <= set(document["paths"])
    named = json.dumps(document)
    wanted = {part.partition('"')[0] for part in named.split("#/components/schemas/")[1:]}
    assert wanted <= set(document["components"]["schemas"])
    assert set(document["paths"]["/ws"]["get"]["responses"]) >= {"101", "401", "429"}
    stream = document["paths"]["/v1/tasks/{task_id}/logs/stream"]["get"]
    assert "text/event-stream" in stream["responses"]["200"]["content"]


def test_the_page_about_the_api_loads_nothing(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.status_code == 200
    assert "POST /v1/tasks/batch" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for loading in ("<script", "<link", "<img", "@import", "src="):
        assert loading not in page.text
