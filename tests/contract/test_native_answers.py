"""The native routes' promises that a schema can't say: what is refused, by which name, and what is told."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.engine_process import EngineProcess

pytestmark = pytest.mark.live

GOOD = {"job_name": "good", "command": ["true"]}


@pytest.fixture(scope="module")
def http(shared_engine: EngineProcess) -> Iterator[httpx.Client]:
    key = (shared_engine.home / "key").read_text().strip()
    with httpx.Client(base_url=shared_engine.facts()["url"], headers={"X-API-Key": key}, timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"job_name": "no good"}, "tasks.1.job_name"),
        ({**GOOD, "cpu": 4000}, "tasks.1.cpu"),
        ({**GOOD, "after": ["zzzzzzzz"]}, "tasks.1.after"),
        ({**GOOD, "env": {"A=": ""}}, "tasks.1.env.A="),
        ({**GOOD, "dataset_specs": [{"name": "..", "source": "/x"}]}, "tasks.1.dataset_specs.0.name"),
    ],
)
def test_one_bad_task_keeps_the_whole_batch_out_and_is_named(
    http: httpx.Client, bad: dict[str, object], field: str
) -> None:
    before = http.get("/v1/tasks?limit=0").json()["total"]
    answer = http.post("/v1/tasks/batch", json={"tasks": [GOOD, bad, GOOD]})
    assert answer.status_code == 422
    assert [found["field"] for found in answer.json()["fields"]] == [field]
    assert answer.json()["error"].startswith("tasks.1")
    assert http.get("/v1/tasks?limit=0").json()["total"] == before


def test_a_batch_that_is_all_wrong_is_not_answered_at_length(http: httpx.Client) -> None:
    answer = http.post("/v1/tasks/batch", json={"tasks": [{"job_name": "no good"}] * 5000})
    assert answer.status_code == 422
    assert "4999 more" in answer.json()["error"]
    assert len(answer.json()["fields"]) == 100


@pytest.mark.parametrize("name", ["path", "query", "header", "body"])
def test_a_field_is_named_whatever_it_is_called(http: httpx.Client, name: str) -> None:
    answer = http.post("/v1/snapshots", json={"path": "/", name: 1})
    assert answer.status_code == 422
    assert answer.json()["fields"][0]["field"] == name


def test_a_bulk_action_on_a_blank_filter_is_refused(http: httpx.Client) -> None:
    for action in ("cancel", "retry"):
        answer = http.post(f"/v1/tasks/{action}", json={"filter": " "})
        assert answer.status_code == 422
        assert answer.json()["fields"][0]["field"] == "filter"


@pytest.mark.parametrize("name", ["a\0b", "red\x1b[31m", "two\nlines", " ", "turned\u202e"])
def test_a_name_that_would_play_with_a_terminal_is_refused(http: httpx.Client, name: str) -> None:
    for path in ("/v1/experiments", "/v1/keys"):
        answer = http.post(path, json={"name": name})
        assert answer.status_code == 422
        assert answer.json()["fields"][0]["field"] == "name"


def test_a_name_may_be_in_any_language(http: httpx.Client) -> None:
    assert http.post("/v1/experiments", json={"name": "zwölf Ziffern 🎉"}).status_code == 201


def test_why_the_queue_is_paused_is_told(http: httpx.Client) -> None:
    assert http.post("/v1/queue/pause", json={"reason": "new disks"}).json()["paused_reason"] == "new disks"
    assert http.get("/v1/queue").json()["paused_reason"] == "new disks"
    assert "paused_reason" not in http.post("/v1/queue/resume").json()


def test_phases_of_one_job_can_be_asked_for(http: httpx.Client) -> None:
    window = http.get("/v1/phases?job_id=nothing&limit=10&offset=5").json()
    assert (window["rows"], window["total"], window["limit"], window["offset"]) == ([], 0, 10, 5)


def test_what_has_not_started_has_printed_nothing(http: httpx.Client) -> None:
    first = http.post("/v1/tasks", json={"job_name": "long", "command": ["sleep", "600"]}).json()["id"]
    waiting = http.post("/v1/tasks", json={**GOOD, "after": [first]}).json()["id"]
    for path in ("logs/raw", "logs"):
        assert http.get(f"/v1/tasks/{waiting}/{path}").status_code == 200
    http.delete(f"/v1/tasks/{first}")


def test_a_refusal_is_found_in_the_log_by_its_trace_id(http: httpx.Client, shared_engine: EngineProcess) -> None:
    body = {"job_name": "two\nlines", "command": ["true"]}
    refused = [
        http.post("/v1/tasks", json=body),
        http.get("/v1/tasks/zzzzzzzz?token=secret"),
        http.get("/v1/tasks", headers={"X-API-Key": "nobody's"}),
    ]
    log = (shared_engine.home / "logs" / "engine.log").read_text()
    for answer in refused:
        (line,) = [line for line in log.splitlines() if answer.json()["trace_id"] in line]
        assert str(answer.status_code) in line
    assert "secret" not in log


def test_nothing_of_the_machine_stands_in_an_error(http: httpx.Client, shared_engine: EngineProcess) -> None:
    answers = [
        http.get("/v1/tasks?filter=/(/"),
        http.get("/v1/tasks?sort=';--"),
        http.post("/v1/tasks", json={**GOOD, "snapshot_id": "../../key"}),
        http.post("/v1/snapshots/archive", content=b"no archive"),
        http.get("/v1/tasks/zzzzzzzz/logs/raw"),
        http.get(f"/v1/tasks/{'9' * 30}/artifacts/x/content"),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        for word in (str(shared_engine.home), "Traceback", "SELECT", "sqlite"):
            assert word not in answer.text


def test_an_archive_is_stored_for_an_experiment_with_a_name(http: httpx.Client, tmp_path: Path) -> None:
    answer = http.post("/v1/snapshots/archive", params={"experiment": "a\x1bb"}, content=b"")
    assert answer.status_code == 400
    assert answer.json()["fields"][0]["field"] == "experiment"
