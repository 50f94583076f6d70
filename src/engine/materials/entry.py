"""What a task without a command runs: the entry script of its snapshot."""

import posixpath
import shlex
import tomllib
from pathlib import Path

from engine.materials.errors import InvalidInput
from engine.materials.trees import Kind, Manifest

CONFIG = "shopfloor.toml"
DEFAULT = "train.py"
FIELD = "snapshot_id"

_MAX_CONFIG = 1 << 20
_INTERPRETERS = {".py": ("python3", "-u"), ".sh": ("sh",)}


def split_args(args: str | None) -> list[str]:
    """`args` split as a shell splits words. Raises `InvalidInput` on `args` for an unbalanced quote."""
    try:
        return shlex.split(args or "")
    except ValueError as error:
        raise InvalidInput("args", f"can't be split into words: {str(error).lower()}", args) from error


def entry_command(tree: Path, manifest: Manifest) -> list[str]:
    """The command line of a snapshot's entry script, to be run in a copy of the snapshot.

    The script is `entry` of `shopfloor.toml`, else `train.py`. A `.py` file runs with the `python3` on PATH
    (unbuffered, so that its log is live), a `.sh` file with `sh`, anything else by itself when it is executable.
    """
    named = _configured(tree, manifest)
    script = named or DEFAULT
    mode = _mode(manifest, script)
    if mode is None:
        if named is not None:
            raise InvalidInput(FIELD, f"the snapshot has no file {script!r}, which its {CONFIG} names as entry")
        raise InvalidInput(FIELD, f"the snapshot has no {DEFAULT} and no {CONFIG} with an entry that names its script")
    interpreter = _INTERPRETERS.get(posixpath.splitext(script)[1])
    if interpreter is None and not mode & 0o100:
        raise InvalidInput(
            FIELD, f"the entry script {script!r} can't be run: it is not executable and ends in neither .py nor .sh"
        )
    return [*(interpreter or ()), f"./{script}" if interpreter is None or script.startswith("-") else script]


def _configured(tree: Path, manifest: Manifest) -> str | None:
    config = manifest.entry(CONFIG)
    if config is None:
        return None
    if config.kind is not Kind.FILE or config.size > _MAX_CONFIG:
        raise InvalidInput(FIELD, f"{CONFIG} of the snapshot is not a plain small file")
    try:
        content = tomllib.loads((tree / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        words = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8 text"
        raise InvalidInput(FIELD, f"{CONFIG} of the snapshot can't be read: {words}") from error
    unknown = sorted(content.keys() - {"entry"})
    if unknown:
        raise InvalidInput(FIELD, f"{CONFIG} of the snapshot has an unknown key {unknown[0]!r}; allowed: entry")
    if "entry" not in content:
        return None
    return _script(content["entry"])


def _script(entry: object) -> str:
    if not isinstance(entry, str) or not entry.strip():
        raise InvalidInput(FIELD, f"entry in {CONFIG} of the snapshot must be the path of a script, not {entry!r}")
    path = posixpath.normpath(entry)
    if path.startswith(("/", "../")) or path in {".", ".."} or "\0" in path:
        raise InvalidInput(FIELD, f"entry in {CONFIG} of the snapshot must name a file inside it, not {entry!r}")
    return path


def _mode(manifest: Manifest, path: str) -> int | None:
    """The mode of the file at `path`, links followed; None where there is none."""
    for _ in range(16):
        found = manifest.entry(path)
        if found is None or found.kind is Kind.FOLDER:
            return None
        if found.kind is Kind.FILE:
            return found.mode
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), found.digest))
    return None
