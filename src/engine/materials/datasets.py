"""The cache of datasets: `datasets/<sha256>`, read-only, each content once.

`datasets/named/<name>` leads to what was last fetched under that name; a person may put a file, a folder or a link
of their own there, and tasks then ask for it by that name. `.sources` remembers what each source was when it was
fetched, so that a source without a digest is asked whether it is still that.
"""

import asyncio
import errno
import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from engine.materials.background import Background, Stop
from engine.materials.errors import MaterialError, reason
from engine.materials.sources import Fetched, Terms, fetch_http, fetch_path, parse
from engine.materials.trees import flush, remove

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True, slots=True)
class _Record:
    """What a source was when it was last fetched."""

    source: str
    sha256: str
    validators: dict[str, str]


class Datasets:
    """The cached datasets of one home."""

    def __init__(self, root: Path, terms: Terms, background: Background) -> None:
        self._root = root
        self._terms = terms
        self._background = background
        self._partial = root / ".partial"
        self._sources = root / ".sources"
        self._named = root / "named"
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def clean(self) -> None:
        """At boot: drop what an interrupted engine left half fetched."""
        remove(self._partial)

    def named(self, name: str) -> tuple[str, str | None] | None:
        """What the name stands for: a source and, where it is in the cache, its SHA-256. None: an unknown name."""
        here = self._named / name
        if not _NAME.fullmatch(name) or name in {".", ".."} or not here.exists():
            return None
        if here.is_symlink() and here.readlink().parent == Path(".."):
            return str(here), here.readlink().name
        return str(here), None

    async def ensure(self, name: str, source: str, sha256: str | None) -> Path:
        """Where the content stands. Fetched when it is not here; tasks that want the same source share one fetch.

        Raises `MaterialError` in words that name the dataset: not to be had, too large, or with another digest
        than `sha256`, in which case both are named.
        """
        lock = self._locks.setdefault(source, asyncio.Lock())
        async with lock:
            try:
                return await self._background.run(lambda stop: self._ensure(name, source, sha256, stop))
            except MaterialError as error:
                raise MaterialError(f"dataset {name!r}: {error}") from error

    def _ensure(self, name: str, source: str, sha256: str | None, stop: Stop) -> Path:
        try:
            if sha256 is not None and self._content(sha256).exists():
                digest = sha256
            else:
                digest = self._fetch(source, sha256, stop)
            self._name(name, digest)
        except OSError as error:
            raise MaterialError(f"could not be kept in the cache: {reason(error)}") from error
        return self._content(digest)

    def _content(self, digest: str) -> Path:
        return self._root / digest

    def _fetch(self, source: str, sha256: str | None, stop: Stop) -> str:
        record = self._recall(source)
        known = record.validators if record and self._content(record.sha256).exists() else {}
        if sha256 is not None:
            known = {}
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._partial / secrets.token_hex(8)
        try:
            where = parse(source)
            fetched = (
                fetch_path(where, partial, self._terms, known, stop)
                if isinstance(where, Path)
                else fetch_http(where, partial, self._terms, known, stop)
            )
            if fetched is None:
                assert record is not None  # noqa: S101 - only what is known can be unchanged
                return record.sha256
            if sha256 is not None and fetched.digest != sha256:
                raise MaterialError(f"its SHA-256 is {fetched.digest}, expected {sha256}")
            self._keep(partial, fetched)
            self._remember(_Record(source, fetched.digest, fetched.validators))
            return fetched.digest
        finally:
            remove(partial)

    def _keep(self, partial: Path, fetched: Fetched) -> None:
        if partial.is_dir():
            for folder, _, names in os.walk(partial):
                flush([*(f"{folder}/{name}" for name in names if not Path(folder, name).is_symlink()), folder])
                if folder != str(partial):
                    Path(folder).chmod(0o555)
        else:
            partial.chmod(0o444)
            flush([partial])
        content = self._content(fetched.digest)
        try:
            partial.rename(content)
            if content.is_dir():
                # Not before: to be renamed, a folder has to be writable.
                content.chmod(0o555)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        flush([self._root])

    def _name(self, name: str, digest: str) -> None:
        """Let the name lead to the content, unless a person put something of their own there."""
        here = self._named / name
        target = Path("..") / digest
        if here.is_symlink():
            if here.readlink() == target or here.readlink().parent != Path(".."):
                return
        elif here.exists():
            return
        self._named.mkdir(mode=0o700, exist_ok=True)
        fresh = self._partial / secrets.token_hex(8)
        self._partial.mkdir(mode=0o700, exist_ok=True)
        fresh.symlink_to(target)
        fresh.replace(here)

    def _recall(self, source: str) -> _Record | None:
        try:
            return _Record(**json.loads(self._record(source).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _remember(self, record: _Record) -> None:
        self._sources.mkdir(mode=0o700, exist_ok=True)
        content = {"source": record.source, "sha256": record.sha256, "validators": record.validators}
        fresh = self._partial / secrets.token_hex(8)
        fresh.write_text(json.dumps(content), "utf-8")
        fresh.replace(self._record(record.source))

    def _record(self, source: str) -> Path:
        return self._sources / f"{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()}.json"
