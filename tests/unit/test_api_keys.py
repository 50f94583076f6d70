"""Keys and the key file, on a real store."""

import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.control.errors import Problem
from engine.control.keys import KeyFileError, Keys
from engine.keydesk import KeyDesk
from engine.protocol.states import Role
from engine.protocol.work import CreateKey
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.errors import StoreError
from engine.store.rows import Event
from engine.store.writer import Writer


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def writer(tmp_path: Path, events: list[Event]) -> AsyncIterator[Writer]:
    database = Database.open(f"sqlite:///{tmp_path / 'shopfloor.db'}")
    writer = Writer(database, events.extend)
    writer.start()
    yield writer
    writer.close()
    database.close()


async def test_a_key_works_until_it_is_revoked(writer: Writer, events: list[Event]) -> None:
    keys = Keys(writer)
    made = await keys.create(CreateKey(name="robot", role=Role.VIEWER))
    found = keys.find(made.key)
    assert found is not None
    assert (found.name, found.role) == ("robot", Role.VIEWER)
    assert keys.find(made.key + "x") is None
    await keys.revoke(made.id, "someone")
    assert keys.find(made.key) is None
    assert not keys.is_valid(made.id)
    assert [event.kind for event in events] == ["key.created", "key.revoked"]
    assert made.key not in json.dumps([dict(event.data) for event in events])


async def test_keys_survive_a_restart_and_revoked_ones_do_not_come_back(writer: Writer) -> None:
    before = Keys(writer)
    kept = await before.create(CreateKey(name="kept"))
    gone = await before.create(CreateKey(name="gone"))
    await before.revoke(gone.id, "someone")
    after = Keys(writer)
    await after.load()
    assert after.find(kept.key) is not None
    assert after.find(gone.key) is None


async def test_the_store_holds_no_secret(writer: Writer, tmp_path: Path) -> None:
    made = await Keys(writer).create(CreateKey(name="robot"))
    stored = b"".join((tmp_path / f"shopfloor.db{end}").read_bytes() for end in ("", "-wal"))
    assert made.name.encode() in stored
    assert made.key.encode() not in stored


async def test_revoking_what_is_not_there_says_so(writer: Writer) -> None:
    with pytest.raises(Problem, match="No valid key abc"):
        await Keys(writer).revoke("abc", "someone")


async def test_the_first_start_makes_the_operators_key(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys = Keys(writer)
    await keys.open_local(path)
    assert path.stat().st_mode & 0o777 == 0o600
    found = keys.find(path.read_text().strip())
    assert found is not None
    assert found.role is Role.ADMIN
    assert found.local


async def test_the_next_start_uses_the_same_key(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "key"
    await Keys(writer).open_local(path)
    secret = path.read_text()
    again = Keys(writer)
    await again.load()
    await again.open_local(path)
    assert path.read_text() == secret
    assert again.find(secret.strip()) is not None


async def test_a_deleted_key_file_means_a_new_key_and_the_end_of_the_old_one(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys = Keys(writer)
    await keys.open_local(path)
    old = path.read_text().strip()
    path.unlink()
    await keys.open_local(path)
    assert keys.find(old) is None
    assert keys.find(path.read_text().strip()) is not None


async def test_a_key_file_that_others_can_read_is_closed(
    writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    await Keys(writer).open_local(path)
    path.chmod(0o644)
    await Keys(writer).open_local(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text


async def test_a_key_file_without_a_key_is_named(writer: Writer, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("\n")
    with pytest.raises(KeyFileError, match="holds no key"):
        await Keys(writer).open_local(path)


async def test_the_operators_own_key_is_not_revoked_by_accident(writer: Writer, tmp_path: Path) -> None:
    keys = Keys(writer)
    await keys.open_local(tmp_path / "key")
    with pytest.raises(Problem, match="can't be revoked"):
        await keys.revoke("local", "someone")


def key_files(folder: Path) -> list[str]:
    return [found.name for found in folder.glob("key*")]


async def test_a_key_file_that_could_not_be_written_whole_is_not_left_behind(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        await Keys(writer).open_local(tmp_path / "key")
    monkeypatch.undo()
    assert not key_files(tmp_path)
    await Keys(writer).open_local(tmp_path / "key")
    assert key_files(tmp_path) == ["key"]


async def test_a_folder_in_the_place_of_the_key_file_is_named(writer: Writer, tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(KeyFileError, match="is a folder"):
        await Keys(writer).open_local(tmp_path / "key")


def test_keys_are_made_without_an_engine_on_a_home_with_any_name(tmp_path: Path) -> None:
    home = tmp_path / "50%41 of it?#"
    desk = KeyDesk(Settings(home=home))
    made = desk.do("create", {"name": "robot", "role": "viewer"})
    assert [key["id"] for key in desk.do("list", None)] == [made["id"]]
    assert Home(home).database.exists()


def test_a_home_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/home can't be used: Not a directory"):
        KeyDesk(Settings(home=tmp_path / "file" / "home")).do("list", None)
