"""Where a task finds its datasets: links to the cache, in its working folder or at a path of the machine.

A link outside of the working folder may be shared: each one is written down in `datasets/.mounts` with the attempts
that use it before it is made, and goes when the last of them ended, which after a crash is known from the live rows.
"""

import contextlib
import hashlib
import json
import os
import posixpath
import re
import secrets
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.materials.errors import InvalidInput, MaterialError, reason
from engine.protocol.tasks import DatasetSpec


def environment_name(name: str) -> str:
    """The variable that tells a task where the dataset `name` stands."""
    return "SHOPFLOOR_DATASET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def mount_target(spec: DatasetSpec, field: str = "mount_path") -> str:
    """Where the dataset is wanted: an absolute path, or one below the working folder.

    Raises `InvalidInput` on `field` for a path that leaves the working folder or names no file.
    """
    given = spec.mount_path if spec.mount_path is not None else f"datasets/{spec.name}"
    path = posixpath.normpath(given)
    if "\0" in given:
        raise InvalidInput(field, "must not hold a NUL character", given.replace("\0", "\\0"))
    if given.startswith("/"):
        path = "/" + path.lstrip("/")
        if path == "/":
            raise InvalidInput(field, "must name a place below /", given)
    elif path in {".", ".."} or path.startswith("../"):
        raise InvalidInput(field, "a relative path must stay below the working folder; give an absolute one", given)
    return path


def check_specs(specs: Sequence[DatasetSpec]) -> None:
    """Refuse mounts that can't stand beside each other, naming the field. Raises `InvalidInput`."""
    targets: dict[str, str] = {}
    variables: dict[str, str] = {}
    for number, spec in enumerate(specs):
        field = f"dataset_specs.{number}"
        if spec.name in {".", ".."}:
            raise InvalidInput(f"{field}.name", "must hold more than dots", spec.name)
        target = mount_target(spec, f"{field}.mount_path")
        variable = environment_name(spec.name)
        if variable in variables:
            raise InvalidInput(
                f"{field}.name", f"is the same as, or too much like, {variables[variable]!r} of this task", spec.name
            )
        variables[variable] = spec.name
        for known, name in targets.items():
            if target == known or target.startswith(known + "/") or known.startswith(target + "/"):
                raise InvalidInput(
                    f"{field}.mount_path", f"{target!r} and {known!r} of dataset {name!r} overlap", spec.mount_path
                )
        targets[target] = spec.name


def mount_inside(folder: Path, target: str, content: Path) -> Path:
    """Make the link `target` below the working folder lead to `content`; where it stands.

    Raises `MaterialError` when the snapshot has something at that place or leads out of the folder there.
    """
    here = folder / target
    root = os.path.realpath(folder)
    try:
        if os.path.realpath(here.parent) != root and not os.path.realpath(here.parent).startswith(root + "/"):
            raise MaterialError(f"mount_path {target!r} leads out of the working folder through a link")
        here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (here.is_symlink() and here.readlink() == content):
            here.symlink_to(content)
    except FileExistsError as error:
        raise MaterialError(f"mount_path {target!r}: the working folder has something there already") from error
    except OSError as error:
        raise MaterialError(f"mount_path {target!r} can't be made: {reason(error)}") from error
    return here


@dataclass(frozen=True, slots=True)
class _Mount:
    """A link outside of any working folder. `made` are the folders that were made for it, outermost first."""

    target: str
    content: str
    made: tuple[str, ...]
    users: tuple[str, ...]


class Mounts:
    """The shared links of one home. All methods block briefly and may be called from any thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._mounts: dict[str, _Mount] = {}

    def recover(self, live: Collection[str]) -> None:
        """At boot: take up what an earlier engine made, and remove what no live attempt uses."""
        with self._lock:
            for record in self._root.glob("*.json"):
                try:
                    row = json.loads(record.read_text("utf-8"))
                    mount = _Mount(row["target"], row["content"], tuple(row["made"]), tuple(row["users"]))
                except (OSError, ValueError, KeyError, TypeError):
                    record.unlink(missing_ok=True)
                    continue
                self._mounts[mount.target] = mount
            for mount in list(self._mounts.values()):
                self._keep(replace(mount, users=tuple(user for user in mount.users if user in live)))

    def in_use_by(self, user: str) -> bool:
        """Whether a link was made for `user`. Does not wait for one that is being made."""
        return any(user in mount.users for mount in list(self._mounts.values()))

    def take(self, user: str, target: str, content: Path) -> None:
        """Have the link `target` lead to `content` for as long as `user` needs it.

        Raises `MaterialError` when something else is there, or another attempt has other data there.
        """
        with self._lock:
            mount = self._mounts.get(target) or _Mount(target, str(content), _missing_parents(target), ())
            if mount.content != str(content):
                raise MaterialError(f"mount_path {target}: a task that is running has another dataset there")
            there = os.path.lexists(target)
            if there and not _leads_to(target, mount.content):
                raise MaterialError(f"mount_path {target}: something else is there already; it was left alone")
            previous = self._mounts.get(target)
            mount = replace(mount, users=tuple(sorted({*mount.users, user})))
            self._write(mount)
            if there:
                return
            try:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                Path(target).symlink_to(content)
            except OSError as error:
                self._keep(previous or replace(mount, users=()))
                raise MaterialError(f"mount_path {target} can't be made: {reason(error)}") from error

    def release(self, user: str) -> None:
        """The attempt ended: its links go unless another one needs them."""
        with self._lock:
            for mount in list(self._mounts.values()):
                if user in mount.users:
                    self._keep(replace(mount, users=tuple(other for other in mount.users if other != user)))

    def _keep(self, mount: _Mount) -> None:
        if mount.users:
            self._write(mount)
            return
        if _leads_to(mount.target, mount.content):
            with contextlib.suppress(OSError):
                Path(mount.target).unlink()
        for folder in reversed(mount.made):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        self._mounts.pop(mount.target, None)
        self._record(mount.target).unlink(missing_ok=True)

    def _write(self, mount: _Mount) -> None:
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._root / secrets.token_hex(8)
            fresh.write_text(json.dumps(asdict(mount)), "utf-8")
            fresh.replace(self._record(mount.target))
        except OSError as error:
            raise MaterialError(f"mount_path {mount.target} can't be noted down: {reason(error)}") from error
        self._mounts[mount.target] = mount

    def _record(self, target: str) -> Path:
        return self._root / f"{hashlib.sha256(os.fsencode(target)).hexdigest()}.json"


def _leads_to(target: str, content: str) -> bool:
    try:
        return os.readlink(target) == content  # noqa: PTH115
    except OSError:
        return False


def _missing_parents(target: str) -> tuple[str, ...]:
    missing = [str(parent) for parent in Path(target).parents if not os.path.lexists(parent)]
    return tuple(reversed(missing))
