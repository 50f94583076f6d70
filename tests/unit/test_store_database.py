"""What happens to a database that is new, old, newer, damaged or held by someone else."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from engine.store import sqlite as sqlite_backend
from engine.store.checkup import examine
from engine.store.database import DamagedDatabase, Database, LockedDatabase, NewerDatabase, StoreError
from engine.store.migrations import HEAD, REVISIONS, SCHEMA, render
from engine.store.migrations.upgrade import bring_to_head
from tests.unit.store_parts import add_mark, add_task, marks, opened, url


def schema(path: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema")
        return {(kind, name, "".join(sql.split())) for kind, name, sql in rows}


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


async def fill(folder: Path, tasks: int = 200) -> Path:
    async with opened(folder) as store:
        await store.writer.run(lambda tx: [add_task(tx) for _ in range(tasks)])
    return folder / "shopfloor.db"


def test_a_new_database_is_what_the_migrations_make(tmp_path: Path) -> None:
    Database.open(url(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "migrated.db", isolation_level=None)) as connection:
        bring_to_head(connection)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    assert schema(tmp_path / "shopfloor.db") == schema(tmp_path / "migrated.db")


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE phases (in_the_way INTEGER)")
        before = schema(tmp_path / "old.db")
        with pytest.raises(Exception, match="phases already exists"):
            bring_to_head(connection)
        assert not connection.in_transaction
    assert schema(tmp_path / "old.db") == before


def test_the_schema_is_that_of_the_tables() -> None:
    assert SCHEMA.read_text() == render.schema(), "run python -m engine.store.migrations.render"


def test_the_known_revisions_are_those_that_alembic_finds() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(sqlite_backend.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS
    assert scripts.get_current_head() == HEAD


def test_opening_a_database_of_this_version_loads_neither_alembic_nor_sqlalchemy(tmp_path: Path) -> None:
    Database.open(url(tmp_path)).close()
    code = (
        "import sys; from engine.store.database import Database; Database.open(sys.argv[1]).close(); "
        "print([name for name in ('alembic', 'sqlalchemy', 'sqlmodel') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code, url(tmp_path)], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


async def test_what_was_written_is_there_after_a_clean_stop_and_the_log_is_folded_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: add_mark(tx, "a"))
        await store.reads.newest_event()
    assert list(digests(tmp_path)) == ["shopfloor.db"]
    Database.open(url(tmp_path)).close()
    assert marks(tmp_path) == ["a"]


async def test_a_commit_is_flushed_to_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        modes = await store.writer.run(
            lambda tx: (tx.rows("PRAGMA journal_mode")[0][0], tx.rows("PRAGMA synchronous")[0][0])
        )
    assert modes == ("wal", 2)


def test_a_first_start_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "shopfloor.db").touch()
    Database.open(url(tmp_path)).close()
    (tmp_path / "shopfloor.db").unlink()
    with closing(sqlite3.connect(tmp_path / "shopfloor.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    Database.open(url(tmp_path)).close()
    assert marks(tmp_path) == []


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = await fill(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
        connection.execute("UPDATE engine_state SET value = '\"7.1.0\"' WHERE name = 'written_by'")
    before = digests(tmp_path)
    with pytest.raises(NewerDatabase) as refused:
        Database.open(url(tmp_path))
    for told in ("shopfloor 7.1.0", "0099", f"shopfloor {version('shopfloor')}", HEAD, str(path)):
        assert told in str(refused.value)
    assert digests(tmp_path) == before


def not_sqlite(path: Path) -> None:
    path.write_bytes(b"this was a database once\n" * 500)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_page_of_noise(path: Path) -> None:
    content = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'tasks'").fetchone()
    content[(root - 1) * 4096 : root * 4096] = bytes(range(256)) * 16
    path.write_bytes(content)


def damage_in_the_middle(path: Path) -> None:
    """Leaves the first and last row of every table whole."""
    with closing(sqlite3.connect(path)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    content = bytearray(path.read_bytes())
    for page in range(pages // 3, 2 * pages // 3):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    path.write_bytes(content)


def someone_elses(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


@pytest.mark.parametrize("damage", [not_sqlite, truncated, a_page_of_noise, someone_elses])
async def test_a_damaged_database_is_named_and_left_byte_for_byte(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = await fill(tmp_path)
    damage(path)
    before = digests(tmp_path)
    with pytest.raises(DamagedDatabase) as refused:
        Database.open(url(tmp_path))
    assert str(path) in str(refused.value)
    assert "backup" in str(refused.value)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("damage", [not_sqlite, truncated, a_page_of_noise, someone_elses])
async def test_a_large_damaged_database_is_found_without_reading_all_of_it(
    tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backend, "_THOROUGH_UP_TO", 0)
    path = await fill(tmp_path)
    Database.open(url(tmp_path)).close()
    damage(path)
    before = digests(tmp_path)
    with pytest.raises(DamagedDatabase):
        Database.open(url(tmp_path))
    assert digests(tmp_path) == before


async def test_a_checkup_reads_every_page_of_a_large_database_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backend, "_THOROUGH_UP_TO", 0)
    path = await fill(tmp_path, tasks=2000)
    assert examine(path)
    damage_in_the_middle(path)
    before = digests(tmp_path)
    Database.open(url(tmp_path)).close()
    with pytest.raises(DamagedDatabase):
        examine(path)
    assert digests(tmp_path) == before


async def test_a_checkup_leaves_a_database_that_is_in_use_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: add_mark(tx, "a"))
        assert examine(tmp_path / "shopfloor.db")
        await store.writer.run(lambda tx: add_mark(tx, "b"))
    assert marks(tmp_path) == ["a", "b"]


async def test_damage_after_a_kill_is_named_and_the_log_is_kept_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: [add_task(tx) for _ in range(200)])
        killed = tmp_path / "killed"
        killed.mkdir()
        for file in ("shopfloor.db", "shopfloor.db-wal"):
            shutil.copyfile(tmp_path / file, killed / file)
    not_sqlite(killed / "shopfloor.db")
    before = digests(killed)
    with pytest.raises(DamagedDatabase):
        Database.open(url(killed))
    assert digests(killed) == before


async def test_what_only_the_log_holds_after_a_kill_is_there(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.writer.run(lambda tx: add_mark(tx, "a"))
        killed = tmp_path / "killed"
        killed.mkdir()
        for file in ("shopfloor.db", "shopfloor.db-wal"):
            shutil.copyfile(tmp_path / file, killed / file)
    Database.open(url(killed)).close()
    assert marks(killed) == ["a"]


async def test_damage_that_is_met_later_is_named_to_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage_in_the_middle(await fill(tmp_path, tasks=2000))
    monkeypatch.setattr(sqlite_backend, "_THOROUGH_UP_TO", 0)
    async with opened(tmp_path) as store:
        with pytest.raises(DamagedDatabase, match="is damaged"):
            await store.reads.ids_matching("nothing-is-called-this", 1)


async def test_a_database_that_another_program_holds_is_named(tmp_path: Path) -> None:
    path = await fill(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedDatabase) as refused:
            Database.open(url(tmp_path), busy_timeout_s=0.05)
        other.execute("ROLLBACK")
    assert str(path) in str(refused.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be opened"):
        Database.open(f"sqlite:///{tmp_path}/none/shopfloor.db")


def test_a_url_of_another_product_says_what_is_allowed() -> None:
    with pytest.raises(StoreError, match="Allowed: sqlite") as refused:
        Database.open("postgresql://kim:secret@db/shop")
    assert "secret" not in str(refused.value)


def test_a_folder_in_the_place_of_the_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "shopfloor.db").mkdir()
    with pytest.raises(StoreError, match=r"shopfloor\.db can't be read \(Is a directory\)"):
        Database.open(url(tmp_path))


async def test_a_database_that_lost_a_table_is_damaged(tmp_path: Path) -> None:
    path = await fill(tmp_path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE calls")
        connection.execute("DROP TABLE phases")
    before = digests(tmp_path)
    with pytest.raises(DamagedDatabase, match="it has no table calls, phases"):
        Database.open(url(tmp_path))
    assert digests(tmp_path) == before


async def test_a_database_that_can_only_be_read_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await fill(tmp_path, 1)

    def read_only(self: sqlite_backend.SqliteBackend) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    monkeypatch.setattr(sqlite_backend.SqliteBackend, "_connect", read_only)
    with pytest.raises(StoreError, match="can't be opened for writing"):
        Database.open(url(tmp_path))
