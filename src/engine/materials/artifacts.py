"""What a task leaves in its output folder."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from engine.materials.background import Stop
from engine.materials.errors import MaterialError, reason
from engine.materials.trees import read_file

MAX_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in the output folder: `path` is relative to it, `bytes` its size. It stays where it is."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Collected:
    """What there is, by path, and a note for what was not kept."""

    artifacts: tuple[Artifact, ...]
    notes: tuple[str, ...] = ()


def collect(folder: Path, stop: Stop) -> Collected:
    """All regular files below `folder`, links to files inside it included. An absent folder holds nothing."""
    root = os.path.realpath(folder)
    artifacts: list[Artifact] = []
    notes: list[str] = []
    for path in _paths(root, notes):
        stop.check()
        real = os.path.realpath(f"{root}/{path}")
        if not real.startswith(root + "/"):
            notes.append(f"{path} is a link that leads out of the output folder; it was not kept")
            continue
        if not stat.S_ISREG(_mode(real)):
            notes.append(f"{path} is not a regular file; it was not kept")
            continue
        if len(artifacts) == MAX_FILES:
            notes.append(f"only the first {MAX_FILES:,} files were kept")
            break
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in read_file(real, path, stop):
                digest.update(chunk)
                size += len(chunk)
        except MaterialError as error:
            notes.append(f"{error}; it was not kept")
            continue
        artifacts.append(Artifact(path, size, digest.hexdigest()))
    return Collected(tuple(artifacts), tuple(notes))


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return 0


def _paths(root: str, notes: list[str]) -> list[str]:
    """Everything below `root` that is not a folder, sorted. Links to folders are not entered."""
    found: list[str] = []
    todo = [""]
    while todo:
        prefix = todo.pop()
        try:
            with os.scandir(f"{root}/{prefix}") as items:
                entries = list(items)
        except FileNotFoundError:
            continue
        except OSError as error:
            notes.append(f"{prefix or 'the output folder'} can't be read: {reason(error)}")
            continue
        for item in entries:
            path = prefix + item.name
            if item.is_dir(follow_symlinks=False):
                todo.append(path + "/")
            elif item.is_dir():
                notes.append(f"{path} is a link to a folder; it was not entered")
            elif not os.fsencode(path).isascii() and _undecodable(path):
                notes.append(f"{path!r} has a name that is not UTF-8; it was not kept")
            else:
                found.append(path)
    return sorted(found)


def _undecodable(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
