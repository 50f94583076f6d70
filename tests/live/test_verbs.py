"""The verbs as a person's shell sees them, against a real engine."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.engine_process import EngineProcess, wait_for
from tests.unit.test_imports import HEAVY, loaded_by

pytestmark = pytest.mark.live
ID = re.compile(r"[0-9a-hjkmnp-tv-z]{8}\n")


@pytest.fixture
def floor(shared_engine: EngineProcess) -> EngineProcess:
    return shared_engine


def submit(floor: EngineProcess, *words: str, **options: Any) -> str:
    """The id of a task that `shopfloor submit` queued."""
    ran = floor.shopfloor("submit", *words, **options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def end(floor: EngineProcess, task_id: str) -> dict[str, Any]:
    with floor.client() as client:
        return wait_for(client, task_id)


def shown(floor: EngineProcess, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(floor.shopfloor("show", task_id, "--json", check=True).stdout)
    return found


def test_submit_prints_the_id_and_nothing_else(floor: EngineProcess, tmp_path: Path) -> None:
    ran = floor.shopfloor("submit", "--", "sh", "-c", "pwd; echo $0 $COLOUR $KEPT", "it's", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ID.fullmatch(ran.stdout)
    task = end(floor, ran.stdout.strip())
    assert (task["state"], task["job_name"], task["cwd"]) == ("completed", "sh", str(tmp_path))
    assert floor.shopfloor("logs", task["id"]).stdout == f"{tmp_path}\nit's\n"


def test_submit_hands_over_every_option(floor: EngineProcess, tmp_path: Path) -> None:
    first = submit(floor, "--name", "first", "--", "true")
    words = ["--name", "all-of-it", "--priority", "9", "--cpu", "2", "--memory-gb", "3", "--gpu", "1", "--retries", "2"]
    words += ["--timeout", "1h30m", "--group", "g1", "--env", "COLOUR=red", "--env", "KEPT", "--meta", "owner=kim"]
    words += ["--after", first[:7], "--cwd", str(tmp_path), "--executor", "process"]
    id_ = submit(floor, *words, "--", "sh", "-c", "echo $COLOUR $KEPT $CUDA_VISIBLE_DEVICES", env={"KEPT": "yes"})
    end(floor, id_)
    task = shown(floor, id_)
    wanted = {
        "job_name": "all-of-it",
        "priority": 9,
        "cpu": 2,
        "memory_gb": 3,
        "gpu": 1,
        "max_retries": 2,
        "timeout_s": 5400,
        "group": "g1",
        "metadata": {"owner": "kim"},
        "after": [first],
        "cwd": str(tmp_path),
        "state": "completed",
    }
    assert {name: task[name] for name in wanted} == wanted
    assert re.fullmatch(r"red yes [01]\n", floor.shopfloor("logs", id_).stdout)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["submit"], "nothing to run"),
        (["submit", "--timeout", "soon", "--", "true"], "--timeout soon: expected seconds"),
        (["submit", "--env", "NOT_SET_HERE", "--", "true"], "NOT_SET_HERE"),
        (["submit", "--meta", "x", "--", "true"], "expected KEY=VALUE"),
        (["submit", "--priority", "11", "--", "true"], "1<=x<=10"),
        (["submit", "--name", "no spaces", "--", "true"], "--name: only letters, digits, _ and - are allowed"),
        (["submit", "--cpu", "4000", "--", "true"], "--cpu: this machine has 4 (given: 4000)"),
        (["submit", "--experiment", "line", "--", "true"], "give --snapshot DIR as well"),
        (["submit", "--after", "zzzzzzzz", "--", "true"], "no task has an id that starts with zzzzzzzz"),
        (["show", "zzzzzzzz"], "no task has an id that starts with zzzzzzzz"),
        (["show", "no;id"], "is not a task's id"),
        (["ls", "--filter", "priority:high"], "priority"),
        (["ls", "--sort", "colour"], "colour"),
        (["cancel"], "name tasks by their ids, or choose them with --filter"),
        (["limit", "g", "many"], "expected a number"),
        (["approve", "a1"], "nothing waits for a decision"),
        (["job", "start", "bakery"], "knows no such kind of job"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_usage_leaves_with_2_and_says_what_is_wrong(floor: EngineProcess, words: list[str], says: str) -> None:
    ran = floor.shopfloor(*words)
    assert ran.returncode == 2, ran.stderr
    assert says in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + signal.SIGTERM)], ids=["0", "7", "TERM"]
)
def test_wait_leaves_with_the_tasks_exit_code(floor: EngineProcess, script: str, code: int) -> None:
    id_ = submit(floor, "--", "sh", "-c", f"sleep 0.2; {script}")
    ran = floor.shopfloor("wait", id_)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert id_ in ran.stderr
    again = floor.shopfloor("wait", id_, "--json")
    assert again.returncode == code
    assert json.loads(again.stdout)[0]["id"] == id_


def test_wait_for_several_leaves_with_the_first_that_did_not_complete(floor: EngineProcess) -> None:
    ids = [submit(floor, "--", "sh", "-c", f"exit {code}") for code in (0, 5, 6)]
    assert floor.shopfloor("wait", *ids).returncode == 5
    skipped = submit(floor, "--after", ids[1], "--", "true")
    ran = floor.shopfloor("wait", skipped)
    assert ran.returncode == 1
    assert ran.stderr == f"{skipped} true skipped: task {ids[1]} (sh) failed: exit code 5\n"
    assert f"why        task {ids[1]} (sh) failed: exit code 5" in floor.shopfloor("show", skipped).stdout


def test_submit_and_wait_in_one(floor: EngineProcess) -> None:
    ran = floor.shopfloor("submit", "--wait", "--", "sh", "-c", "exit 4")
    assert ran.returncode == 4
    assert ID.fullmatch(ran.stdout)


def test_ids_may_be_cut_short_unless_that_is_ambiguous(floor: EngineProcess) -> None:
    ids = {submit(floor, "--", "true") for _ in range(2)}
    with floor.client() as client:
        known = [task["id"] for task in client.get("/v1/tasks", limit=1000)["tasks"]]
    one = ids.pop()
    short = next(one[:length] for length in range(1, 9) if sum(id_.startswith(one[:length]) for id_ in known) == 1)
    assert floor.shopfloor("show", short).returncode == 0
    starts = [id_[0] for id_ in known]
    shared = next((letter for letter in starts if starts.count(letter) > 1), None)
    if shared is not None:
        ran = floor.shopfloor("show", shared)
        assert ran.returncode == 2
        assert "several ids" in ran.stderr


@pytest.mark.parametrize("words", [["ls"], ["submit", "--", "true"], ["resources"]])
def test_a_verb_that_works_loads_nothing_heavy(floor: EngineProcess, words: list[str]) -> None:
    loaded = loaded_by("from console.cli import main; main()", floor.home, *words)
    assert "console.client" in loaded
    assert not loaded & HEAVY


def test_ls_filters_sorts_and_limits(floor: EngineProcess) -> None:
    ids = [submit(floor, "--name", f"listed-{n}", "--priority", str(n + 1), "--", "true") for n in range(3)]
    for id_ in ids:
        end(floor, id_)
    words = ["ls", "--filter", "name:listed-0,listed-1,listed-2", "--sort", "-priority"]
    found = json.loads(floor.shopfloor(*words, "--json", check=True).stdout)
    assert [task["id"] for task in found["tasks"]] == ids[::-1]
    ran = floor.shopfloor(*words, "--limit", "2", "--state", "completed")
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "PRI", "NAME", "ASKS", "TRY", "AGE", "RAN", "WHAT"]
    assert [line.split()[:4] for line in lines[1:]] == [
        [ids[2], "completed", "3", "listed-2"],
        [ids[1], "completed", "2", "listed-1"],
    ]
    assert "2 of 3 tasks" in ran.stderr


def test_piped_output_has_neither_colour_nor_box(floor: EngineProcess) -> None:
    id_ = submit(floor, "--name", "plain", "--", "sh", "-c", "exit 3")
    end(floor, id_)
    for words in (["ls"], ["show", id_], ["queue"], ["resources"], ["events"], ["costs"], ["jobs"], ["approvals"]):
        ran = floor.shopfloor(*words, env={"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"})
        assert ran.returncode == 0, ran.stderr
        assert not re.search(r"[\x1b\u2500-\u257f]", ran.stdout + ran.stderr)


def test_text_from_a_task_cannot_steer_the_terminal(floor: EngineProcess) -> None:
    id_ = submit(floor, "--name", "evil", "--meta", "note=a\x1b[2Jb\rc", "--", "true", "\x1b]0;title\x07")
    for words in (["ls", "--filter", f"id:{id_}"], ["show", id_]):
        ran = floor.shopfloor(*words)
        assert "\x1b" not in ran.stdout
        assert "\\x1b" in ran.stdout


def test_every_verb_that_shows_something_has_json(floor: EngineProcess) -> None:
    id_ = submit(floor, "--json", "--", "true")
    assert json.loads(id_)["job_name"] == "true"
    for words in (["ls"], ["queue"], ["resources"], ["costs"], ["jobs"], ["approvals"], ["jupyter", "ls"]):
        ran = floor.shopfloor(*words, "--json")
        assert ran.returncode == 0, ran.stderr
        json.loads(ran.stdout)
    events = floor.shopfloor("events", "--json", "--limit", "3", check=True).stdout.splitlines()
    assert [set(json.loads(line)) >= {"seq", "at", "kind", "subject", "data"} for line in events] == [True] * 3


def test_logs_are_byte_for_byte_and_tail_counts_lines(floor: EngineProcess) -> None:
    lines = "".join(f"{n} {'x' * (n % 90)}\n" for n in range(6000))
    script = "import sys; sys.stdout.buffer.write(b''.join(b'%d %s\\n' % (n, b'x' * (n % 90)) for n in range(6000)))"
    script += "; sys.stdout.buffer.write(b'\\xff\\xfe end')"
    id_ = submit(floor, "--", sys.executable, "-c", script)
    end(floor, id_)

    def logs(*words: str) -> bytes:
        ran = subprocess.run(
            [sys.executable, "-m", "console.cli", "logs", id_, *words],
            env=floor.environment,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return ran.stdout

    whole = lines.encode() + b"\xff\xfe end"
    assert logs() == whole
    assert logs("--tail", "1") == b"\xff\xfe end"
    assert logs("--tail", "3") == b"".join(whole.splitlines(keepends=True)[-3:])
    assert logs("--tail", "2500") == b"".join(whole.splitlines(keepends=True)[-2500:])
    assert logs("--tail", "9999") == whole
    assert logs("--tail", "0") == b""


def test_logs_follow_until_the_task_ends(floor: EngineProcess, tmp_path: Path) -> None:
    go = tmp_path / "go"
    subprocess.run(["mkfifo", go], check=True)
    id_ = submit(floor, "--", "sh", "-c", f"echo one; read x < {go}; echo two ä; exit 3")
    follower = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "logs", "-f", id_],
        env=floor.environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert follower.stdout is not None
    with follower.stdout:
        assert follower.stdout.readline() == "one\n"
        go.write_text("x\n")
        assert follower.stdout.read() == "two ä\n"
    assert follower.wait(20) == 0


def test_logs_follow_over_a_retry(floor: EngineProcess) -> None:
    script = 'echo "attempt $SHOPFLOOR_ATTEMPT"; [ "${SHOPFLOOR_ATTEMPT#*#}" = 2 ]'
    id_ = submit(floor, "--retries", "1", "--", "sh", "-c", script)
    ran = floor.shopfloor("logs", "-f", id_)
    assert ran.stdout == f"attempt {id_}#1\nattempt {id_}#2\n"
    assert floor.shopfloor("logs", id_, "--attempt", "1").stdout == f"attempt {id_}#1\n"
    assert "TRY" in floor.shopfloor("show", id_).stdout


def test_interrupting_a_follower_is_clean(floor: EngineProcess) -> None:
    id_ = submit(floor, "--", "sh", "-c", "echo here; exec sleep 600")
    follower = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "logs", "-f", id_],
        env=floor.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert follower.stdout.readline() == "here\n"
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=20)
    assert (follower.returncode, out, err.strip()) == (130, "", "")
    assert floor.shopfloor("cancel", id_).stdout == f"{id_} cancelled\n"
    assert end(floor, id_)["state"] == "cancelled"


def test_cancel_and_retry_say_what_became_of_each(floor: EngineProcess) -> None:
    done = submit(floor, "--", "true")
    end(floor, done)
    waiting = [submit(floor, "--name", "bulk", "--group", "parked", "--", "sleep", "600") for _ in range(2)]
    ran = floor.shopfloor("cancel", waiting[0], done)
    assert (ran.returncode, ran.stdout) == (1, f"{waiting[0]} cancelled\n")
    assert f"{done} was not cancelled" in ran.stderr
    assert floor.shopfloor("cancel", "--filter", "name:bulk !state:cancelled").stdout == f"{waiting[1]} cancelled\n"
    assert floor.shopfloor("cancel", "--filter", "name:nothing-like-it").returncode == 0
    assert floor.shopfloor("retry", done).stdout == f"{done} queued again\n"
    task = end(floor, done)
    assert (task["state"], task["attempt"]) == ("completed", 2)


def test_retry_takes_other_asks(floor: EngineProcess) -> None:
    id_ = submit(floor, "--timeout", "20s", "--", "sh", "-c", "exit 3")
    end(floor, id_)
    words = ["--priority", "8", "--memory-gb", "2", "--cpu", "2", "--gpu", "1", "--retries", "0", "--timeout", "1h"]
    assert floor.shopfloor("retry", id_, *words).stdout == f"{id_} queued again\n"
    end(floor, id_)
    task = shown(floor, id_)
    wanted = {"attempt": 2, "priority": 8, "memory_gb": 2, "cpu": 2, "gpu": 1, "timeout_s": 3600}
    assert {name: task[name] for name in wanted} == wanted
    ran = floor.shopfloor("retry", id_, "--cpu", "400")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--cpu: this machine has 4 (given: 400)" in ran.stderr
    assert floor.shopfloor("retry", "--filter", "state:failed", "--cpu", "1").returncode == 2
    busy = submit(floor, "--", "sleep", "600")
    ran = floor.shopfloor("retry", busy, "--cpu", "1", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["done"]) == (1, [])
    floor.shopfloor("cancel", busy, check=True)


def test_snapshot_runs_in_a_copy_of_the_folder(floor: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(open('data.txt').read())")
    (tmp_path / "data.txt").write_text("as it was")
    (tmp_path / ".gitignore").write_text("*.bin\n")
    (tmp_path / "big.bin").write_text("x")
    id_ = submit(floor, "--snapshot", str(tmp_path), "--", sys.executable, "train.py")
    entry = submit(floor, "--snapshot", str(tmp_path), "--name", "by-entry", "--args", "a b")
    (tmp_path / "data.txt").write_text("changed")
    for one in (id_, entry):
        assert end(floor, one)["state"] == "completed"
        assert floor.shopfloor("logs", one).stdout == "as it was\n"
    listing = submit(floor, "--snapshot", str(tmp_path), "--", "ls")
    end(floor, listing)
    assert floor.shopfloor("logs", listing).stdout.split() == ["data.txt", "train.py"]


def test_a_remote_engine_gets_the_snapshot_as_an_archive(floor: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "run.sh").write_text("#!/bin/sh\necho $0 ran\n")
    (tmp_path / "sub" / "run.sh").chmod(0o755)
    (tmp_path / "sub" / ".gitignore").write_text("!keep.log\n")
    (tmp_path / "sub" / "keep.log").write_text("kept")
    (tmp_path / "drop.log").write_text("dropped")
    (tmp_path / ".gitignore").write_text("*.log\n")
    found = floor.endpoint()
    remote = {"SHOPFLOOR_URL": found.url or "", "SHOPFLOOR_KEY": found.key}
    id_ = submit(floor, "--snapshot", str(tmp_path), "--", "sh", "-c", "sub/run.sh; find . -name '*.log'", env=remote)
    assert end(floor, id_)["state"] == "completed"
    assert floor.shopfloor("logs", id_, env=remote).stdout == "sub/run.sh ran\n./sub/keep.log\n"


def test_dataset_option_names_what_to_fetch(floor: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    id_ = submit(floor, "--dataset", f"rows={tmp_path}/rows.csv", "--", "sh", "-c", "cat datasets/rows*")
    task = end(floor, id_)
    assert task["state"] == "completed", task["error"]
    assert floor.shopfloor("logs", id_).stdout == "a,b\n"


def test_pause_holds_the_queue_until_resume(engine: EngineProcess) -> None:
    assert engine.shopfloor("pause", "moving the rack").returncode == 0
    id_ = submit(engine, "--", "true")
    told = engine.shopfloor("queue").stdout
    assert "paused" in told
    assert "moving the rack" in told
    with engine.client() as client:
        assert client.get(f"/v1/tasks/{id_}")["state"] == "queued"
    assert engine.shopfloor("resume").returncode == 0
    assert engine.shopfloor("wait", id_).returncode == 0


def test_limit_of_a_group_is_shown_and_lifted(engine: EngineProcess) -> None:
    assert engine.shopfloor("limit", "sweep", "1").stdout == "sweep: 1 at once\n"
    assert re.search(r"^sweep +1 +0 +0$", engine.shopfloor("resources").stdout, re.MULTILINE)
    assert engine.shopfloor("limit", "sweep", "none").stdout == "sweep: no limit\n"


def test_jupyter_says_that_it_is_not_there_yet(floor: EngineProcess) -> None:
    ran = floor.shopfloor("jupyter", "start", "lab")
    assert ran.returncode == 1
    assert "Jupyter" in ran.stderr
    assert floor.shopfloor("jupyter", "ls").returncode == 0
    assert floor.shopfloor("jupyter", "stop", "none").returncode in {1, 2}


def test_engine_verbs_reach_the_engine(floor: EngineProcess) -> None:
    ran = floor.shopfloor("engine", "status", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["pid"] == floor.pid


def test_without_an_engine_verbs_leave_with_3_and_say_what_to_do(tmp_path: Path) -> None:
    nobody = EngineProcess(tmp_path)
    for words in (["ls"], ["submit", "--", "true"], ["wait", "abc"], ["logs", "abc"], ["jobs"], ["events", "-f"]):
        ran = nobody.shopfloor(*words)
        assert (ran.returncode, ran.stdout) == (3, "")
        assert ran.stderr == f"shopfloor: no engine runs in {tmp_path}: start one with `shopfloor engine start`\n"
    assert nobody.shopfloor().returncode == 2, "without a terminal there is no screen to open"


def test_a_wrong_key_is_refused_in_plain_words(floor: EngineProcess) -> None:
    remote = {"SHOPFLOOR_URL": floor.endpoint().url or "", "SHOPFLOOR_KEY": "not-a-key"}
    ran = floor.shopfloor("ls", env=remote)
    assert ran.returncode == 2
    assert "key" in ran.stderr


def test_wait_survives_a_restart_of_the_engine(engine: EngineProcess, tmp_path: Path) -> None:
    go = tmp_path / "go"
    subprocess.run(["mkfifo", go], check=True)
    id_ = submit(engine, "--", "sh", "-c", f"read x < {go}; exit 9")
    with engine.client() as client:
        wait_for(client, id_, "running")
    waiter = subprocess.Popen(
        [sys.executable, "-m", "console.cli", "wait", id_], env=engine.environment, stderr=subprocess.PIPE, text=True
    )
    follows_within_s = time.monotonic() + 20
    while len(psutil.Process(waiter.pid).net_connections("unix")) < 2:  # a request's socket, and the stream's
        assert time.monotonic() < follows_within_s
        time.sleep(0.01)
    engine.kill()
    engine.start()
    go.write_text("x\n")
    _, err = waiter.communicate(timeout=40)
    assert waiter.returncode == 9, err
