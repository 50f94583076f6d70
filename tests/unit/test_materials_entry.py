"""What a task without a command runs."""

from pathlib import Path

import pytest

from engine.materials.background import Stop
from engine.materials.entry import entry_command, split_args
from engine.materials.errors import InvalidInput
from engine.materials.snapshots import Snapshots


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "bin").mkdir(parents=True)
    for name in ("train.py", "bin/go.sh", "bin/run", "notes", "-x.py"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o755 if name == "bin/run" else 0o644)
    (folder / "bin" / "linked").symlink_to("../train.py")
    return folder


def command(folder: Path) -> list[str]:
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    snapshots = Snapshots(home, home=home)
    stored = snapshots.store(folder, Stop())
    return entry_command(snapshots.tree(stored.id), snapshots.manifest(stored.id))


def test_train_py_when_nothing_is_said(folder: Path) -> None:
    assert command(folder) == ["python3", "-u", "train.py"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("./bin/../train.py", ["python3", "-u", "train.py"]),
        ("bin/go.sh", ["sh", "bin/go.sh"]),
        ("bin/run", ["./bin/run"]),
        ("-x.py", ["python3", "-u", "./-x.py"]),
    ],
)
def test_what_the_file_names(folder: Path, entry: str, expected: list[str]) -> None:
    (folder / "shopfloor.toml").write_text(f'entry = "{entry}"\n')
    assert command(folder) == expected


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('entry = "gone.py"', "no file 'gone.py', which its shopfloor.toml names"),
        ('entry = "bin"', "no file 'bin'"),
        ('entry = "notes"', "not executable"),
        ('entry = "../train.py"', "inside it"),
        ('entry = "/bin/sh"', "inside it"),
        ("entry = 3", "must be the path"),
        ('entry = ""', "must be the path"),
        ('entyr = "train.py"', "unknown key 'entyr'; allowed: entry"),
        ("entry = ", "can't be read"),
        ("\xff", "can't be read"),
    ],
)
def test_what_is_wrong_with_it_is_named(folder: Path, config: str, words: str) -> None:
    (folder / "shopfloor.toml").write_bytes(config.encode("latin-1"))
    with pytest.raises(InvalidInput, match=words) as caught:
        command(folder)
    assert caught.value.field == "snapshot_id"


def test_a_snapshot_without_any_is_named(folder: Path) -> None:
    (folder / "train.py").unlink()
    with pytest.raises(InvalidInput, match=r"no train\.py and no shopfloor\.toml"):
        command(folder)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (None, []),
        ("", []),
        ("--lr 1e-3 --name 'two words'", ["--lr", "1e-3", "--name", "two words"]),
        ('"$HOME" `x` *', ["$HOME", "`x`", "*"]),
    ],
)
def test_args_are_split_as_a_shell_splits_and_expanded_by_none(args: str | None, words: list[str]) -> None:
    assert split_args(args) == words


@pytest.mark.parametrize("args", ["--name 'open", 'a "b', "end\\"])
def test_args_that_can_not_be_split_are_named(args: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_args(args)
    assert caught.value.field == "args"
    assert caught.value.value == args
