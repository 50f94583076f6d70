"""What the verbs make of the words on the command line, and what they print."""

import os
import pty
import re
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import printing
from console.verbs.packing import packed
from console.verbs.submit import dataset_spec, duration, name_for, pairs


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1h30m", 5400), ("1d", 86400)]
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@given(st.text(alphabet="0123456789.smhd -+e") | st.text())
def test_duration_is_a_number_or_wrong_usage(text: str) -> None:
    with suppress(click.exceptions.Exit):
        assert 0 <= duration(text) < float("inf")


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_name_always_fits(command: list[str]) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name_for(command, None, None))


def test_name_comes_from_the_command_the_experiment_or_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    assert name_for(["/usr/bin/train.sh", "x"], None, None) == "train-sh"
    assert name_for([], folder, "base line") == "base-line"
    assert name_for([], folder, None) == "my-model"


def test_pairs_take_what_is_known_here() -> None:
    assert pairs("--env", ["A=1", "B=x=y", "C=", "D"], {"D": "here"}) == {"A": "1", "B": "x=y", "C": "", "D": "here"}


@pytest.mark.parametrize("given_", ["=x", "E", "NOT_THERE"])
def test_pairs_that_are_none(given_: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit):
        pairs("--env", [given_], {})
    assert f"--env {given_}: " in capsys.readouterr().err


def test_dataset_specs() -> None:
    digest = "0" * 64
    assert dataset_spec(f"mnist=https://x.example/a,b.zip,sha256={digest},at=data/mnist") == {
        "name": "mnist",
        "source": "https://x.example/a,b.zip",
        "sha256": digest,
        "mount_path": "data/mnist",
    }
    assert dataset_spec("rows=rows.csv") == {"name": "rows", "source": str(Path("rows.csv").absolute())}


def test_packing_leaves_out_what_git_leaves_out(tmp_path: Path) -> None:
    for name, text in {
        ".gitignore": "*.log\n/build/\n!important.log\nsecret*\n",
        "a.py": "",
        "x.log": "",
        "important.log": "",
        "build/out.o": "",
        "sub/build/kept.o": "",
        "sub/.gitignore": "!x.log\nonly-here\n",
        "sub/x.log": "",
        "sub/only-here": "",
        "only-here": "",
        "secrets/key": "",
        "ünï cöde": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "link").symlink_to("a.py")
    (tmp_path / "nowhere").symlink_to("gone")
    git = ["git", "-c", "core.quotePath=false", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run(
        [*git, "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    with packed(tmp_path) as archive, tarfile.open(fileobj=archive, mode="r:gz") as tar:
        assert {member.name for member in tar if not member.isdir()} == set(listed.stdout.splitlines())


def on_a_terminal(code: str, columns: int, **environment: str) -> str:
    """What `code` prints on a terminal of that width."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", buffering=0) as reading:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={"PATH": os.environ["PATH"], "COLUMNS": str(columns), "TERM": "xterm", **environment},
        )
        os.close(follower)
        text = b""
        while True:
            try:
                piece = reading.read(65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
        process.wait()
    return text.decode().replace("\r\n", "\n")


TABLE = (
    "from console.printing import Column, table\n"
    "table((Column('ID'), Column('STATE', state=True), Column('WHAT')), [('a', 'failed', 'x' * 80)])"
)


def test_a_terminal_gets_colour_and_lines_that_fit() -> None:
    lines = on_a_terminal(TABLE, 40).splitlines()
    assert lines[1].startswith("a   \x1b[31mfailed\x1b[0m  xxx")
    assert len(re.sub(r"\x1b\[\d+m", "", lines[1])) == 40


def test_wide_letters_take_their_two_places() -> None:
    table = (
        "from console.printing import Column, table\n"
        "rows = [('日本語', 'failed', '結果' * 40), ('e\\u0301a', 'queued', 'x')]\n"
        "table((Column('NAME'), Column('STATE', state=True), Column('WHAT')), rows)"
    )
    lines = on_a_terminal(table, 30, PYTHONUTF8="1").splitlines()
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in lines] == [
        "NAME    STATE   WHAT",
        "日本語  failed  結果結果結果…",
        "e\u0301a      queued  x",
    ]
    assert "\x1b[31mfailed\x1b[0m" in lines[1]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour_gets_none(environment: dict[str, str]) -> None:
    assert "\x1b" not in on_a_terminal(TABLE, 40, **environment)


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    printing.table(
        (printing.Column("ID"), printing.Column("N", right=True), printing.Column("WHAT")),
        [("a", "1", "x" * 300), ("bbb", "22", "one\ntwo\x1b[2J")],
    )
    assert capsys.readouterr().out.splitlines() == [
        "ID    N  WHAT",
        f"a     1  {'x' * 300}",
        "bbb  22  one\\ntwo\\x1b[2J",
    ]
