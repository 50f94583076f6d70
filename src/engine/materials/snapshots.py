"""Content-addressed copies of folders: `snapshots/<id>/tree` and its `manifest.json`, each stored once.

The id covers paths, modes and contents, so that storing the same folder twice costs one reading of it. Equal files
of different snapshots are one file on disk (`.blobs`), which is why stored files are all read-only and the modes
stand in the manifest alone. A snapshot appears by one rename, after its content is on disk.
"""

import errno
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from engine.materials.archive import unpack
from engine.materials.background import Stop
from engine.materials.errors import InvalidInput, MaterialError, UnknownSnapshot, reason
from engine.materials.trees import (
    Entry,
    Found,
    Kind,
    Limits,
    Manifest,
    copy_file,
    entry_of,
    flush,
    remove,
    restore,
    scan,
)

LIMITS = Limits(files=100_000, bytes=8 << 30)

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot that is on disk. `notes` say what of the folder was left out, and why."""

    id: str
    files: int
    bytes: int
    notes: tuple[str, ...] = ()


class Snapshots:
    """The snapshots of one home. All methods block; `stop` ends them between two files or chunks."""

    def __init__(self, root: Path, *, home: Path, limits: Limits = LIMITS) -> None:
        self._root = root
        self._home = home
        self._limits = limits
        self._blobs = root / ".blobs"
        self._partial = root / ".partial"

    def clean(self) -> None:
        """At boot: drop what an interrupted engine left half made."""
        remove(self._partial)

    def has(self, snapshot_id: str) -> bool:
        return _ID.fullmatch(snapshot_id) is not None and (self._root / snapshot_id).is_dir()

    def tree(self, snapshot_id: str) -> Path:
        """Where the stored files stand. They are shared: read them, never write or run them there."""
        return self._root / snapshot_id / "tree"

    def manifest(self, snapshot_id: str) -> Manifest:
        """All of a snapshot. Raises `UnknownSnapshot`, or `MaterialError` when its list of files is damaged."""
        if not self.has(snapshot_id):
            raise UnknownSnapshot(f"no snapshot {snapshot_id} is stored here")
        try:
            manifest = Manifest.from_json((self._root / snapshot_id / "manifest.json").read_text())
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise MaterialError(f"the list of files of snapshot {snapshot_id} can't be read") from error
        if manifest.id != snapshot_id:
            raise MaterialError(f"the list of files of snapshot {snapshot_id} is damaged")
        return manifest

    def store(self, folder: Path, stop: Stop, *, field: str = "path") -> Stored:
        """Keep a copy of `folder`. Raises `InvalidInput` on `field` when it can't be kept."""
        if not folder.is_absolute():
            raise InvalidInput(field, "must be an absolute path", str(folder))
        if not folder.is_dir():
            raise InvalidInput(field, "no such folder on the engine's machine", str(folder))
        try:
            found, notes = scan(folder, self._limits, stop, honour_ignore=True, leave_out=self._home)
            return self._keep(folder, found, tuple(notes), stop)
        except OSError as error:
            raise MaterialError(f"the snapshot could not be stored: {reason(error)}") from error
        except MaterialError as error:
            raise InvalidInput(field, str(error), str(folder)) from error

    def store_archive(self, archive: Path, stop: Stop) -> Stored:
        """Keep what a `.tar.gz` file holds, as if it were a folder here."""
        target = self._new_partial()
        try:
            unpack(archive, target / "upload", self._limits, stop)
            found, notes = scan(target / "upload", self._limits, stop, honour_ignore=True)
            return self._keep(target / "upload", found, tuple(notes), stop)
        except OSError as error:
            raise MaterialError(f"the snapshot could not be stored: {reason(error)}") from error
        finally:
            remove(target)

    def spool(self) -> Path:
        """A new file name for an upload that is under way."""
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._partial / f"{secrets.token_hex(8)}.tar.gz"

    def restore(self, snapshot_id: str, target: Path, stop: Stop) -> None:
        """Make `target` a copy of its own that a task may write in. A `target` with something in it is left alone.

        A copy appears whole or not at all, so one that is there was finished before.
        """
        if target.is_dir() and any(target.iterdir()):
            return
        manifest = self.manifest(snapshot_id)
        partial = target.with_name(target.name + ".partial")
        remove(partial)
        try:
            restore(self.tree(snapshot_id), manifest, partial, stop)
            partial.rename(target)
        except OSError as error:
            raise MaterialError(f"snapshot {snapshot_id} could not be copied: {reason(error)}") from error
        except MaterialError as error:
            raise MaterialError(f"snapshot {snapshot_id} is damaged here: {error}") from error
        finally:
            remove(partial)

    def _new_partial(self) -> Path:
        target = self._partial / secrets.token_hex(8)
        target.mkdir(mode=0o700, parents=True)
        return target

    def _keep(self, folder: Path, found: list[Found], notes: tuple[str, ...], stop: Stop) -> Stored:
        manifest = Manifest(tuple(entry_of(folder, item, stop) for item in found))
        if not self.has(manifest.id):
            manifest = self._copy(folder, manifest, stop)
        return Stored(manifest.id, manifest.files, manifest.bytes, notes)

    def _copy(self, folder: Path, manifest: Manifest, stop: Stop) -> Manifest:
        partial = self._new_partial()
        try:
            manifest = self._copy_tree(folder, manifest, partial / "tree", stop)
            (partial / "manifest.json").write_text(manifest.to_json())
            flush([partial / "manifest.json", partial / "tree", partial])
            try:
                partial.rename(self._root / manifest.id)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
            flush([self._root])
        finally:
            remove(partial)
        return manifest

    def _copy_tree(self, folder: Path, manifest: Manifest, tree: Path, stop: Stop) -> Manifest:
        """Copy what is new and link what is known. A file that changes meanwhile counts as it was copied."""
        tree.mkdir()
        entries: list[Entry] = []
        new: dict[str, str] = {}
        folders = [str(tree)]
        for entry in manifest.entries:
            stop.check()
            here = f"{tree}/{entry.path}"
            kept = entry
            if entry.kind is Kind.FOLDER:
                os.mkdir(here, 0o700)  # noqa: PTH102 - names that are not UTF-8 stay what they are
                folders.append(here)
            elif entry.kind is Kind.LINK:
                os.symlink(entry.digest, here)  # noqa: PTH211
            elif not _link(new.get(entry.digest) or str(self._blob(entry.digest)), here):
                digest, size = copy_file(f"{folder}/{entry.path}", here, entry.path, stop)
                os.chmod(here, 0o400)  # noqa: PTH101
                new.setdefault(digest, here)
                kept = Entry(entry.path, entry.kind, entry.mode, size, digest)
            entries.append(kept)
        flush([*new.values(), *folders], stop)
        for digest, here in new.items():
            blob = self._blob(digest)
            blob.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _link(here, str(blob))
        return Manifest(tuple(entries))

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest[2:]


def _link(source: str, target: str) -> bool:
    """Give a stored file another name; False where there is none or it has as many as it can have."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EEXIST, errno.EMLINK, errno.EPERM, errno.EXDEV}:
            return False
        raise
    return True
