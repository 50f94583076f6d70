"""`.gitignore` as git reads it: random trees and patterns, against git itself."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.materials.background import Stop
from engine.materials.trees import Limits, scan
from engine.protocol.ignore import parse

LIMITS = Limits(10_000, 1 << 30)
PATHS = [
    "a", "b.log", "foo", "fo", "ab/a", "ab/foo", "ab/b.log", "ab/cd/a", "ab/cd/foo", "ab/cd/b.log", "foo bar", "[x]",
    "deep/ab/cd/foo", "deep/a.b", "deep/!a", "deep/#a", "x-y", "deep/x]", "deep/x^", "A", "deep/B7", "a\\b",
    "foox/cd/a", "trail ", "é/a",
]  # fmt: skip

pieces = st.sampled_from(
    [
        *(
            "a",
            "b",
            "foo",
            "ab",
            "cd",
            "deep",
            "x",
            ".log",
            "é",
            "-",
            " ",
            "!",
            "#",
            "*",
            "**",
            "***",
            "?",
            "/",
            "/",
            "/",
        ),
        *("**/", "/**", "/*/", "\\", "\\*", "\\a", "\\ ", "[ab]", "[!a]", "[^b]", "[a-c]", "[A-Z]", "[]x]", "[\\]x]"),
        *("[!]a-]", "[a\\-c]", "[.-0]", "[/]", "[!/]", "[a-", "[x", "[[:alpha:]]", "[[:punct:]]", "[[:nope:]]"),
        "[[:digit:][:upper:]]",
    ]
)
lines = st.builds(
    lambda negated, body, end: ("!" if negated else "") + "".join(body) + end,
    st.booleans(),
    st.lists(pieces, min_size=1, max_size=5),
    st.sampled_from(["", "", "", "/", " ", "\r", "\t"]),
)
files = st.lists(lines, min_size=1, max_size=5).map("\n".join)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    git(root, "init", "-q")
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")
    return root


def git(root: Path, *args: str) -> bytes:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        "XDG_CONFIG_HOME": str(root),
    }
    done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, check=True, env=environment)
    return done.stdout


def kept_by_git(root: Path) -> set[bytes]:
    return set(git(root, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore").split(b"\0")) - {b""}


def kept_by_us(root: Path) -> set[bytes]:
    found, _ = scan(root, LIMITS, Stop(), honour_ignore=True)
    return {os.fsencode(item.path) for item in found if item.kind.value != "folder"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(outer="*\n!ab/", inner="", deepest="")
@example(outer="ab/*\n!ab/cd/", inner="", deepest="")
@example(outer="foo**/a", inner="", deepest="")
@example(outer="*\n!*/\n!a", inner="!b.log", deepest="a\n!foo")
@example(outer="ab/**/a", inner="/a", deepest="*/")
@example(outer="**/cd", inner="", deepest="")
@given(outer=files, inner=files, deepest=files)
def test_keeps_what_git_keeps(repository: Path, outer: str, inner: str, deepest: str) -> None:
    for folder, content in (("", outer), ("ab", inner), ("deep/ab", deepest)):
        (repository / folder / ".gitignore").write_bytes(content.encode() + b"\n")
    assert kept_by_us(repository) == kept_by_git(repository)


def test_rules_of_the_folders_above_count_up_to_the_top_of_the_work_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*.ckpt\n/one/two/only\n")
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    for name in ("a.ckpt", "only", "train.py"):
        (inner / name).write_text("x")
    assert kept_by_us(inner) == {b"train.py"}


def test_a_folder_that_no_repository_holds_has_only_its_own_rules(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a").write_text("x")
    assert kept_by_us(inner) == {b"a"}


def test_git_folders_and_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".git").write_text("gitdir: elsewhere")
    name = os.fsdecode(b"\xff\xfe")
    (tmp_path / name).write_text("x")
    (tmp_path / ".gitignore").write_bytes(b"nothing\n")
    assert kept_by_us(tmp_path) == {b".gitignore", b"\xff\xfe"}


@given(st.binary(max_size=300))
def test_any_bytes_are_rules_of_some_kind(content: bytes) -> None:
    for rule in parse(content):
        rule.matches(b"a/b", b"b", False)


def test_a_pattern_made_to_be_slow_is_not() -> None:
    (rule,) = parse(b"*a" * 60 + b"b")
    assert not rule.matches(b"a" * 250, b"a" * 250, False)
