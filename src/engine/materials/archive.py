"""Unpacking a `.tar.gz` that came over the network: nothing of it lands outside, and a bomb ends early.

Links are made after all files, so that no file is ever written through one.
"""

import gzip
import os
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from engine.materials.background import Stop
from engine.materials.errors import InvalidInput
from engine.materials.trees import Limits, copy_file, size_words

FIELD = "archive"
_MAX_HEADER = 1 << 20
_STEP = 1 << 18
_OVERHEAD = 4096


def unpack(archive: Path, target: Path, limits: Limits, stop: Stop) -> None:
    """Unpack `archive` into the new folder `target`. Raises `InvalidInput` naming the member that can't be."""
    target.mkdir(mode=0o700)
    try:
        with (
            _Bounded(archive, limits, stop) as stream,
            tarfile.open(fileobj=stream, mode="r:", errorlevel=1) as tar,
        ):
            _Unpacking(tar, target, limits, stop).run()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise InvalidInput(FIELD, "is not a whole .tar.gz archive") from error


class _Bounded(gzip.GzipFile):
    """The unpacked bytes, never more of them than the limits allow, and never many at once.

    tarfile reads a header's text at one go with the length that the archive names.
    """

    def __init__(self, archive: Path, limits: Limits, stop: Stop) -> None:
        super().__init__(archive, "rb")
        self._limits = limits
        self._most = limits.bytes + limits.files * _OVERHEAD
        self._stop = stop

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > _MAX_HEADER:
            raise InvalidInput(FIELD, "holds a header that is too large")
        self._check(self.tell() + size)
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Forwards in small steps, so that skipping much ends when the work is stopped."""
        if whence != os.SEEK_SET or offset < self.tell():
            return super().seek(offset, whence)
        while (left := offset - self.tell()) > 0 and self.read(min(_STEP, left)):
            pass
        return self.tell()

    def _check(self, position: int) -> None:
        self._stop.check()
        if position > self._most:
            raise InvalidInput(FIELD, f"holds more than {size_words(self._limits.bytes)} unpacked")


@dataclass
class _Unpacking:
    tar: tarfile.TarFile
    target: Path
    limits: Limits
    stop: Stop
    links: list[tuple[str, str]] = field(default_factory=list)
    seen: dict[str, bool] = field(default_factory=dict)
    """Paths that are there, and whether each is a folder."""

    def run(self) -> None:
        total = count = 0
        while (member := self.tar.next()) is not None:
            self.stop.check()
            count += 1
            total += member.size if member.isreg() else 0
            if count > self.limits.files or total > self.limits.bytes:
                most = f"{self.limits.files:,} members or {size_words(self.limits.bytes)}"
                raise InvalidInput(FIELD, f"holds more than {most} unpacked")
            self._member(member)
            # tarfile remembers every member; an upload may hold many.
            self.tar.members = []  # type: ignore[attr-defined]
        for path, target in self.links:
            (self.target / path).symlink_to(target)

    def _member(self, member: tarfile.TarInfo) -> None:
        path = safe_path(member.name)
        if not path:
            if member.isdir():
                return
            raise InvalidInput(FIELD, f"member {member.name!r} has no name")
        if member.isdir():
            self._folder(path)
            (self.target / path).chmod((member.mode & 0o777) | 0o700)
            return
        self._folder(path.rpartition("/")[0])
        if path in self.seen:
            raise InvalidInput(FIELD, f"member {member.name!r} comes twice")
        self.seen[path] = False
        if member.issym():
            if not member.linkname or "\0" in member.linkname:
                raise InvalidInput(FIELD, f"member {member.name!r} is a link to nothing")
            self.links.append((path, member.linkname))
        elif member.islnk():
            self._second_name(member, path)
        elif member.isreg() and not member.issparse():
            self._file(member, path)
        else:
            raise InvalidInput(
                FIELD, f"member {member.name!r} is neither a file nor a folder nor a link; only these can be kept"
            )

    def _folder(self, path: str) -> None:
        parts = path.split("/") if path else []
        for end in range(1, len(parts) + 1):
            prefix = "/".join(parts[:end])
            known = self.seen.get(prefix)
            if known is False:
                raise InvalidInput(FIELD, f"member {path!r} stands below {prefix!r}, which is no folder")
            if known is None:
                self.seen[prefix] = True
                (self.target / prefix).mkdir(mode=0o700)

    def _file(self, member: tarfile.TarInfo, path: str) -> None:
        source = self.tar.extractfile(member)
        assert source is not None  # noqa: S101 - isreg
        here = self.target / path
        with here.open("xb") as file:
            left = member.size
            while left:
                chunk = source.read(min(_STEP, left))
                if not chunk:
                    raise InvalidInput(FIELD, f"ends in the middle of {member.name!r}")
                file.write(chunk)
                left -= len(chunk)
        here.chmod(member.mode & 0o777 | 0o400)

    def _second_name(self, member: tarfile.TarInfo, path: str) -> None:
        first = safe_path(member.linkname)
        if self.seen.get(first) is not False or (self.target / first).is_symlink():
            raise InvalidInput(FIELD, f"member {member.name!r} is a second name of {member.linkname!r}, not in it")
        here = self.target / first
        if not here.exists():
            raise InvalidInput(FIELD, f"member {member.name!r} is a second name of a link")
        copy_file(str(here), str(self.target / path), path, self.stop)
        (self.target / path).chmod(here.stat().st_mode & 0o777)


def safe_path(name: str) -> str:
    """A member's name as a path below the target, `""` for the target itself. Raises when it would leave it."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise InvalidInput(FIELD, f"member {name!r} would land outside of the folder")
    if any(len(os.fsencode(part)) > 255 for part in parts) or len(os.fsencode(name)) > 2048:
        raise InvalidInput(FIELD, f"member {name[:80]!r}... has a name that is too long")
    return "/".join(parts)
