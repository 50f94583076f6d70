"""SQLite: how its file is checked, created, opened, and what its errors mean."""

import re
import sqlite3
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from engine.store.errors import (
    Conflict,
    DamagedDatabase,
    DiskFull,
    LockedDatabase,
    NewerDatabase,
    StoreError,
)
from engine.store.migrations import HEAD, REVISIONS, SCHEMA
from engine.store.migrations.signature import sign, signed_by
from engine.store.regex import register_functions

_MAGIC = b"SQLite format 3\x00"
_THOROUGH_UP_TO = 64 << 20
_WRITER_CACHE_KB = 16_384
_READER_CACHE_KB = 4_096
_STATEMENTS = 256
_TRY_TO_WRITE = "UPDATE alembic_version SET version_num = version_num"


# A list without an escaped character is text once its quotes are gone, which costs a third of reading it as JSON.
_COMMAND_TEXT = r"""
CASE WHEN instr(command, '\') = 0
     THEN replace(replace(substr(command, 3, length(command) - 4), '", "', ' '), '","', ' ')
     ELSE (SELECT group_concat(value, ' ') FROM json_each(command)) END
"""


class SqliteBackend:
    name = "sqlite"
    driver_error: type[Exception] = sqlite3.Error
    begin_write = "BEGIN IMMEDIATE"
    command_text = _COMMAND_TEXT
    newest_event = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s

    def prepare(self) -> None:
        try:
            revision = self.inspect(thorough=False) if self._exists() else None
            with closing(self.writer()) as connection:
                if revision in (None, HEAD):
                    connection.execute(self.begin_write)
                    if revision is None:
                        _create(connection)
                        connection.execute("COMMIT")
                    else:
                        connection.execute(_TRY_TO_WRITE)
                        connection.execute("ROLLBACK")
                else:
                    from engine.store.migrations.upgrade import bring_to_head

                    bring_to_head(connection)
        except sqlite3.Error as error:
            raise self.explain(error) or StoreError(f"{self._path} can't be opened: {error}") from error

    def inspect(self, *, thorough: bool) -> str | None:
        """The schema's revision, None for a database without tables. Opens the file for reading only.

        Every page is read if the file is small or the look is to be thorough. A large file would keep the engine
        from starting for long (2 s for each GB), so there the first and last row of each table are read; damage
        elsewhere is named when it is met.
        """
        try:
            with self._path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise self._damaged("it is not a SQLite file")
        except OSError as error:
            raise StoreError(
                f"{self._path} can't be read ({error.strerror}). It must be a file that whoever runs the engine owns."
            ) from error
        with closing(self._connect_to_look()) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not tables:
                return None
            if "alembic_version" not in tables:
                raise self._damaged("it is a SQLite file, but not one of shopfloor's")
            versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            if len(versions) != 1:
                raise self._damaged(f"it names {len(versions)} versions of itself")
            revision = str(versions[0][0])
            if revision not in REVISIONS:
                raise self._newer(revision, signed_by(connection))
            if revision == HEAD and (gone := _tables() - tables):
                raise self._damaged(f"it has no table {', '.join(sorted(gone))}")
            if thorough or self._path.stat().st_size <= _THOROUGH_UP_TO:
                self._check_every_page(connection)
            else:
                self._check_ends(connection, tables)
            return revision

    def writer(self) -> sqlite3.Connection:
        """SQLite folds its log into the file by itself, every 1,000 pages: measured, 3 ms at worst, and rare."""
        with ExitStack() as unless_ready:
            connection = unless_ready.enter_context(closing(self._connect()))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KB}")
            unless_ready.pop_all()
        return connection

    def reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KB}")
        register_functions(connection)
        return connection

    def in_transaction(self, connection: object) -> bool:
        return isinstance(connection, sqlite3.Connection) and connection.in_transaction

    def interrupt(self, connection: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.interrupt()

    def explain(self, error: Exception) -> StoreError | None:  # noqa: PLR0911 - one answer for each kind
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(str(error))
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            return None
        match code & 0xFF:
            case sqlite3.SQLITE_FULL:
                return DiskFull(
                    f"The disk that holds {self._path} is full: nothing was written. "
                    "Free some space; the engine goes on by itself."
                )
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return LockedDatabase(
                    f"{self._path} is locked by another program (waited {self._busy_timeout_s:g} s). "
                    "Close what holds it, such as a database shell or a backup, and try again."
                )
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return self._damaged(str(error))
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return StoreError(
                    f"{self._path} can't be opened for writing ({error}). "
                    "Check who owns the file and its folder, and whether the disk is mounted read-only."
                )
            case sqlite3.SQLITE_INTERRUPT:
                return StoreError("The engine is stopping and reads no further.")
            case sqlite3.SQLITE_IOERR:
                return StoreError(f"The disk that holds {self._path} reports an error ({error}): nothing was written.")
            case _:
                return None

    def _exists(self) -> bool:
        """Whether there is anything in the file. An empty one is what a first start leaves that was cut short."""
        return self._path.exists() and self._path.stat().st_size > 0

    def _check_every_page(self, connection: sqlite3.Connection) -> None:
        findings = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
        if findings != ["ok"]:
            raise self._damaged("; ".join(findings))

    def _check_ends(self, connection: sqlite3.Connection, tables: set[str]) -> None:
        without_rowid = {row[1] for row in connection.execute("PRAGMA table_list") if row[4]}
        for table in tables:
            tree = "rowid"
            if table in without_rowid:
                tree = next(row[1] for row in connection.execute(f'PRAGMA table_info("{table}")') if row[5] == 1)
            for order in ("ASC", "DESC"):
                connection.execute(f'SELECT * FROM "{table}" ORDER BY {tree} {order} LIMIT 1').fetchall()

    def _damaged(self, finding: str) -> DamagedDatabase:
        return DamagedDatabase(
            f"{self._path} is damaged: {finding}. It was left as it is. Put a backup in its place, "
            f"or move it (and {self._path.name}-wal, if there is one) away to start with an empty one; "
            "the `sqlite3` shell's `.recover` can often save what it holds."
        )

    def _newer(self, revision: str, writer: str | None) -> NewerDatabase:
        wrote = f"shopfloor {writer}" if writer else "a newer shopfloor"
        this = f"shopfloor {version('shopfloor')}"
        return NewerDatabase(
            f"{self._path} was written by {wrote} (schema {revision}); this is {this}, "
            f"which knows schemas up to {HEAD}. Start {wrote} or a later one, or use another SHOPFLOOR_HOME. "
            "Nothing was changed."
        )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )

    def _connect_to_look(self) -> sqlite3.Connection:
        """A connection that writes nothing: not even the files beside a database whose last stop was clean."""
        log = self._path.with_name(self._path.name + "-wal")
        clean = not log.exists() or log.stat().st_size == 0
        how = "immutable=1" if clean else "mode=ro"
        return sqlite3.connect(
            f"file:{quote(str(self._path))}?{how}", uri=True, timeout=self._busy_timeout_s, isolation_level=None
        )


def _tables() -> set[str]:
    return set(re.findall(r"^CREATE TABLE (\w+)", SCHEMA.read_text(), re.MULTILINE))


def _create(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.read_text().split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT INTO alembic_version (version_num) VALUES (:head)", {"head": HEAD})
    sign(connection)
