"""A folder as an archive, for an engine that can't see this machine's files."""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pathspec import GitIgnoreSpec

_NEVER = {".git"}


@contextmanager
def packed(folder: Path) -> Iterator[BinaryIO]:
    """A tar.gz of what `.gitignore` files in `folder` leave in, from its start; gone afterwards."""
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=3) as tar:
            for path in wanted(folder):
                tar.add(path, path.relative_to(folder), recursive=False)
        archive.seek(0)
        yield archive


def wanted(folder: Path) -> Iterator[Path]:
    """Files and links below `folder`, in order, without what a `.gitignore` above them names and without `.git`."""
    yield from _wanted(folder, [])


def _wanted(folder: Path, above: list[tuple[Path, GitIgnoreSpec]]) -> Iterator[Path]:
    rules = above
    own = folder / ".gitignore"
    if own.is_file():
        rules = [*above, (folder, GitIgnoreSpec.from_lines(own.read_text("utf-8", "replace").splitlines()))]
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
        if path.name in _NEVER or _ignored(path, rules, is_folder=is_folder):
            continue
        if is_folder:
            yield from _wanted(path, rules)
        elif path.is_file() or path.is_symlink():
            yield path


def _ignored(path: Path, rules: list[tuple[Path, GitIgnoreSpec]], *, is_folder: bool) -> bool:
    """The innermost file that says anything about the path decides, as git has it."""
    for base, spec in reversed(rules):
        verdict = spec.check_file(f"{path.relative_to(base)}{'/' if is_folder else ''}").include
        if verdict is not None:
            return verdict
    return False
