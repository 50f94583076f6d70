"""The verbs among a shell's pipes, streams, folders and completion."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeEngine
from tests.engine_process import EngineProcess
from tests.live.test_verbs import end, submit

pytestmark = pytest.mark.live


@pytest.fixture
def floor(shared_engine: EngineProcess) -> EngineProcess:
    return shared_engine


@pytest.mark.parametrize("unbuffered", ["1", ""])
@pytest.mark.parametrize("words", [["ls"], ["events"], ["queue", "--json"]])
def test_a_reader_that_has_gone_away_is_no_news(floor: EngineProcess, words: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ran = subprocess.run(
            [sys.executable, "-m", "console.cli", *words],
            env={**floor.environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_an_answer_that_cannot_be_written_is_told_in_a_line(floor: EngineProcess, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "console.cli", "ls"],
            env={**floor.environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "shopfloor: the answer can't be written: No space left on device\n"


@pytest.mark.parametrize(("closed", "code"), [("<&-", 0), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_closed_streams_are_no_trouble(floor: EngineProcess, closed: str, code: int) -> None:
    script = f'exec "$0" -m console.cli submit --wait -- cat {closed}'
    ran = subprocess.run(
        ["sh", "-c", script, sys.executable],
        env=floor.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_is_named_from_where_one_is(floor: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    id_ = submit(floor, "--cwd", "below", "--", "pwd", cwd=tmp_path)
    assert end(floor, id_)["cwd"] == str(tmp_path / "below")


def test_a_folder_that_is_gone_is_named(floor: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    verb = f"{sys.executable} -m console.cli submit"
    for words, code in (("-- true", 2), (f"--cwd {tmp_path} -- true", 0)):
        script = f"mkdir -p {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; {verb} {words}"
        ran = subprocess.run(
            ["sh", "-c", script], env=floor.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == code, ran.stderr
        assert ("is gone" in ran.stderr) == bool(code)


def test_completion_knows_verbs_and_ids(floor: EngineProcess) -> None:
    id_ = submit(floor, "--name", "completed-name", "--", "true")
    assert "complete" in floor.shopfloor("completion", "bash").stdout

    def complete(*words: str) -> str:
        asked = {
            "_SHOPFLOOR_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": f"{len(words) - 1}",
        }
        return floor.shopfloor(env=asked).stdout

    assert "plain,submit" in complete("shopfloor", "sub")
    assert f"plain,{id_}" in complete("shopfloor", "show", id_[:3])
    assert complete("shopfloor", "engine", "st").split() == ["plain,start", "plain,stop", "plain,status"]
    assert complete("shopfloor", "engine", "keys", "re").split() == ["plain,revoke"]


def test_completion_in_bash(floor: EngineProcess) -> None:
    id_ = submit(floor, "--name", "in-bash", "--", "true")
    bin_ = floor.home / "bin"
    bin_.mkdir(exist_ok=True)
    command = bin_ / "shopfloor"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m console.cli "$@"\n')
    command.chmod(0o755)
    script = f"""
        PATH={bin_}:$PATH; eval "$(shopfloor completion bash)"
        complete_for() {{
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            $(complete -p shopfloor | sed 's/.*-F \\([^ ]*\\).*/\\1/') shopfloor "${{@: -1}}" "${{@: -2:1}}"
            echo "${{COMPREPLY[@]}}"
        }}
        complete_for shopfloor logs {id_[:4]}
        complete_for shopfloor submit --prio
    """
    ran = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=floor.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.split() == [id_, "--priority"], ran.stderr


def test_the_help_tells_each_verb_in_a_whole_sentence(floor: EngineProcess) -> None:
    ran = floor.shopfloor("--help", env={"COLUMNS": "80"})
    listed = ran.stdout[ran.stdout.index("Commands:") :].splitlines()[1:]
    assert len(listed) > 20
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("words", [["engine", "-h"], ["engine", "keys", "-h"], ["engine", "start", "-h"], ["ls", "-h"]])
def test_h_is_help_everywhere(floor: EngineProcess, words: list[str]) -> None:
    ran = floor.shopfloor(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Usage: shopfloor" in ran.stdout


def test_a_key_is_ended_by_its_id(floor: EngineProcess) -> None:
    made = json.loads(floor.shopfloor("engine", "keys", "create", "kim", "--json", check=True).stdout)
    ran = floor.shopfloor("engine", "keys", "revoke", "kim")
    assert ran.returncode == 1
    assert "expected the id of one that is listed" in ran.stderr
    assert floor.shopfloor("engine", "keys", "revoke", made["id"]).returncode == 0


def test_engines_that_are_started_at_once_become_one(make_engine: MakeEngine) -> None:
    engine = make_engine(start=False)
    start = [sys.executable, "-m", "console.cli", "engine", "start"]
    started = [
        subprocess.Popen(start, env=engine.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    url = engine.facts()["url"]
    for out, _ in said:
        assert re.fullmatch(rf"(The engine|An engine \(pid \d+\)) runs at {url}( already)?\n", out), said
    assert engine.shopfloor("engine", "stop").returncode == 0
