"""The submit form: what it sends, what is wrong with a field, at the field; what was typed stays."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.link import Trouble
from console.screens.form_fields import FieldFault, form_of, read_form
from tests.console.canned import CannedLink, answers, task
from tests.console.screen import canned


def engine(**more: Any) -> CannedLink:
    return CannedLink({**answers(), "POST /v1/tasks": task("new00001", "train", "queued"), **more})


async def test_a_command_is_submitted(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press("n")
        await screen.shows("python train.py --lr 3e-4")
        await screen.type("python train.py --lr '3 4'")
        await screen.press("tab", "tab")
        await screen.type("7")
        await screen.press("enter")
        await screen.shows("train is queued as new00001")
        assert screen.link.asked == [
            (
                "POST",
                "/v1/tasks",
                {"command": ["python", "train.py", "--lr", "3 4"], "job_name": "train", "priority": 7},
            ),
        ]


async def test_the_engines_words_stand_at_the_field(tmp_path: Path) -> None:
    refused = Trouble(
        "2 fields are wrong",
        status=422,
        fields=("gpu: 9 GPUs were asked for; this machine has 4", "after.0: there is no task zzz"),
    )
    async with canned(tmp_path, link=engine(**{"POST /v1/tasks": refused})) as screen:
        await screen.press("n")
        await screen.type("train")
        await screen.press("enter")
        text = await screen.shows("9 GPUs were asked for; this machine has 4", "there is no task zzz")
        lines = text.splitlines()
        gpu = next(number for number, line in enumerate(lines) if " gpus " in line)
        assert "9 GPUs" in lines[gpu + 1]
        assert screen.app.focused is not None
        assert screen.app.focused.id == "gpu"


async def test_what_was_typed_stays(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press("n")
        await screen.type("rsync -a here there")
        await screen.press("escape")
        await screen.hides("rsync")
        await screen.press("n")
        await screen.shows("rsync -a here there")


async def test_submit_again_fills_in_the_task_under_the_cursor(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press("N")
        await screen.shows("python train.py --lr 3e-4", "sweep-lr-003")
        await screen.press("enter")
        await screen.shows("sweep-lr-003 is queued as new00001")
        body = screen.link.asked[0][2]
        assert body == {
            "command": ["python", "train.py", "--lr", "3e-4"],
            "job_name": "sweep-lr-003",
            "priority": 7,
            "cpu": 2,
            "memory_gb": 8,
            "gpu": 1,
            "group": "sweep",
        }


async def test_a_folder_is_stored_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.app.Shopfloor.engine_is_local", True)
    async with canned(tmp_path, link=engine(**{"POST /v1/snapshots": {"id": "abc123"}})) as screen:
        await screen.press("n")
        await screen.type("python train.py")
        await screen.press("up")
        await screen.type(str(tmp_path))
        await screen.press("enter")
        await screen.shows("is queued as new00001")
        assert [(path, body.get("snapshot_id")) for _, path, body in screen.link.asked] == [
            ("/v1/snapshots", None),
            ("/v1/tasks", "abc123"),
        ]


async def test_a_remote_engine_can_not_read_our_folders(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press("n")
        await screen.type("python train.py")
        await screen.press("up")
        await screen.type("/src")
        await screen.press("enter")
        await screen.shows("on another machine: shopfloor submit --snapshot DIR sends it")


async def test_submit_in_one_line(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press(":")
        await screen.type("submit python -m tool --x 1")
        await screen.press("enter")
        await screen.shows("python is queued")
        assert screen.link.asked[0][2]["command"] == ["python", "-m", "tool", "--x", "1"]


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({}, "command", "write what to run"),
        ({"command": "echo 'open"}, "command", "a quote is open"),
        ({"command": "ls | wc"}, "command", "'|' needs a shell: write sh -c '...'"),
        ({"command": "ls", "env": "A=1 B"}, "env", "'B': write NAME=value"),
    ],
)
def test_what_can_not_be_read_is_said_at_its_field(values: dict[str, str], field: str, says: str) -> None:
    fault = read_form(values)
    assert isinstance(fault, FieldFault)
    assert (fault.field, says in fault.message) == (field, True)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python train.py", "train"),
        ("python -m tool", "python"),
        ("/usr/bin/make all", "make"),
        ("./run.sh", "run"),
        ("'my tool'", "my-tool"),
    ],
)
def test_a_name_is_made_of_what_runs(command: str, name: str) -> None:
    body = read_form({"command": command})
    assert isinstance(body, dict)
    assert body["job_name"] == name


def test_times_and_lists_are_read_as_people_write_them() -> None:
    body = read_form({"command": "x", "timeout_s": "2h", "after": "a1, b2", "env": "A='1 2'", "cpu": "many"})
    assert body == {
        "command": ["x"],
        "job_name": "x",
        "timeout_s": 7200.0,
        "after": ["a1", "b2"],
        "env": {"A": "1 2"},
        "cpu": "many",
    }


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
            lambda word: word not in {"|", "||", "&&", "&", ";", ">", ">>", "<"} and word.strip() == word
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 10),
)
def test_a_task_comes_back_from_its_form_as_it_was(command: list[str], priority: int) -> None:
    body = read_form(form_of({"command": command, "job_name": "n", "priority": priority, "timeout_s": 90.0}))
    assert body == {"command": command, "job_name": "n", "priority": priority, "timeout_s": 90.0}
