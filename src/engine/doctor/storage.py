"""Checks of the disk, SQLite and the database."""

import os
import shutil
import tempfile
from pathlib import Path

from engine.doctor.finding import Finding, fail, ok, warn
from engine.materials.errors import reason
from engine.materials.trees import size_words
from engine.settings import Home, Settings

NETWORKED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "beegfs", "ceph", "fuse.sshfs", "glusterfs", "fuse.glusterfs"}
    | {"gpfs", "lustre", "ocfs2", "virtiofs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"}
)
VOLATILE = frozenset({"tmpfs", "ramfs"})

_COMFORT_BYTES = 5 << 30
_WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))
_OLDEST_SQLITE = (3, 35, 0)


def disk(settings: Settings) -> Finding:
    """Whether the home can be written and has room."""
    root = settings.home
    there = nearest(root)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return fail(
            "disk",
            f"{there} can't be written: {reason(error)}",
            "give it to the user who runs the engine, or set SHOPFLOOR_HOME to a folder that is writable",
        )
    free = shutil.disk_usage(there).free
    status = os.statvfs(there)
    found = f"{size_words(free)} free at {there}"
    advice = "free some space, or set SHOPFLOOR_HOME to a folder on a larger disk"
    if free < settings.disk_reserve_mb << 20:
        return fail("disk", f"{found}: below disk_reserve_mb ({settings.disk_reserve_mb} MB) no task starts", advice)
    if status.f_files and status.f_favail < max(10_000, status.f_files // 100):
        return warn("disk", f"{found}, but only {status.f_favail:,} more files can be made there", advice)
    if free < _COMFORT_BYTES:
        return warn("disk", f"{found}: output, snapshots and datasets soon fill that", advice)
    return ok("disk", found)


def filesystem(settings: Settings, mountinfo: Path = Path("/proc/self/mountinfo")) -> Finding:
    """Whether the home stands on a local disk: SQLite's log needs shared memory and locks that networks do not give."""
    there = nearest(settings.home)
    kind, point = mounted(there.resolve(), mountinfo)
    if kind in NETWORKED:
        return fail(
            "filesystem",
            f"{point} is {kind}, which other machines share",
            "set SHOPFLOOR_HOME to a folder on a disk of this machine: on a shared one the database gets damaged",
        )
    if kind in VOLATILE:
        return warn(
            "filesystem",
            f"{point} is {kind}: all is gone when the machine restarts",
            "set SHOPFLOOR_HOME to a folder on a real disk",
        )
    return ok("filesystem", f"{kind or 'unknown'} at {point}")


def nearest(path: Path) -> Path:
    """`path`, or the closest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def mounted(path: Path, mountinfo: Path) -> tuple[str, str]:
    """The kind of file system that holds `path`, and where it is mounted."""
    best = ("", "/")
    try:
        lines = mountinfo.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return best
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) < 5 or not tail:
            continue
        point = fields[4].encode().decode("unicode_escape") if "\\" in fields[4] else fields[4]
        if path.is_relative_to(point) and len(point) >= len(best[1]):
            best = (tail[0], point)
    return best


def sqlite(version: tuple[int, ...] | None = None) -> Finding:
    """Whether this Python's SQLite has what the store needs, and the bug that it should not have."""
    from engine.store.checkup import library_version

    version = version or library_version()
    name = "SQLite " + ".".join(map(str, version))
    if version < _OLDEST_SQLITE:
        return fail("sqlite", f"{name} is too old", "use a Python with SQLite 3.35 or newer")
    if _WAL_RESET_BUG[0] <= version <= _WAL_RESET_BUG[1]:
        return warn(
            "sqlite",
            f"{name} has the WAL-reset bug of 3.7.0 to 3.51.2, which may damage a database that several connections "
            "write and checkpoint at the same moment",
            "the engine writes and checkpoints through one connection alone, which leaves the bug hardly any room; "
            "do not write to the database with other tools while it runs, and use a Python with SQLite 3.51.3 or "
            "newer when there is one",
        )
    return ok("sqlite", name)


def database(settings: Settings) -> Finding:
    """Whether the database is sound and of this version. It is only read."""
    from engine.store.checkup import examine
    from engine.store.errors import DamagedDatabase, LockedDatabase, NewerDatabase, StoreError

    if settings.database_url is not None:
        return ok("database", "on a server, by database_url; it is checked when the engine starts")
    path = Home(settings.home).database
    if not path.exists():
        return ok("database", "there is none yet; the first start makes it")
    advice: dict[type[Exception], str] = {
        NewerDatabase: "use the newer shopfloor, or set SHOPFLOOR_HOME to another folder",
        DamagedDatabase: "stop the engine, keep the file and its -wal and -shm beside it, and bring back a backup, or "
        "save what can be read with the `.recover` command of the sqlite3 shell",
        LockedDatabase: "end the program that holds it, if that is not the engine",
    }
    try:
        current = examine(path)
    except (StoreError, OSError) as error:
        otherwise = "make the file readable and writable for the user who runs the engine"
        return fail("database", str(error), advice.get(type(error), otherwise))
    size = size_words(path.stat().st_size)
    return ok("database", f"sound, {size}" if current else f"sound, {size}; the next start brings it to this version")
