"""API keys: who may come in, and as what.

A key is 32 random bytes. The store holds its SHA-256: a fast hash is enough for a secret that can't be guessed, and
lets a request be checked by one look-up. That look-up is not constant-time and need not be: what it compares is the
hash, and learning some of a hash's bits brings nobody nearer to the bytes behind it.
"""

import getpass
import hashlib
import logging
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.control.errors import Problem
from engine.protocol.states import ErrorCode, Role
from engine.protocol.work import CreateKey, KeyCreated
from engine.store.key_writes import KeyRecord, insert_key, live_keys, replace_key, revoke_key
from engine.store.writer import Transaction, Writer

log = logging.getLogger(__name__)

LOCAL_ID: Final = "local"
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class KeyFileError(Exception):
    """The key file of the home can't be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose key a request carries. `name` is what tasks and events remember as the user."""

    key_id: str
    name: str
    role: Role

    @property
    def local(self) -> bool:
        """Whether this is the operator of the machine, whose key lies in the home folder."""
        return self.key_id == LOCAL_ID


class Keys:
    """All valid keys, in memory; every change goes through here, so the memory is never behind the store."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._by_hash: dict[str, Principal] = {}
        self._by_id: dict[str, KeyRecord] = {}

    async def load(self) -> None:
        """Read the valid keys from the store."""
        for record in await self._writer.run(live_keys):
            self._remember(record)

    def find(self, secret: str) -> Principal | None:
        """Whose key this is; None when it is nobody's or was revoked."""
        return self._by_hash.get(_hash(secret))

    def is_valid(self, key_id: str) -> bool:
        """Whether a key that was good earlier still is."""
        return key_id in self._by_id

    async def create(self, request: CreateKey) -> KeyCreated:
        """Make a key. The answer is the only place where its secret ever stands."""
        secret = _new_secret()
        record = _record(_new_id(), request.name, request.role, secret)

        def insert(tx: Transaction) -> float:
            insert_key(tx, record)
            return tx.now

        created_at = await self._writer.run(insert)
        self._remember(record)
        return KeyCreated.model_validate(
            {
                "id": record.id,
                "name": record.name,
                "role": record.role,
                "prefix": record.prefix,
                "created_at": created_at,
                "key": secret,
            }
        )

    async def revoke(self, key_id: str, user: str) -> None:
        """End a key at once. Raises `Problem`: not found, or the local operator's own."""
        if key_id == LOCAL_ID:
            raise Problem(
                ErrorCode.CONFLICT,
                "The local operator's key can't be revoked; to change it, stop the engine, delete the file `key` "
                "in its home and start it again",
            )
        record = self._by_id.pop(key_id, None)
        if record is not None:  # first here: whoever hears of the event must find the key invalid already
            self._by_hash.pop(record.hash, None)
        try:
            revoked = await self._writer.run(lambda tx: revoke_key(tx, key_id, user))
        except BaseException:
            if record is not None:
                self._remember(record)
            raise
        if not revoked:
            raise Problem(ErrorCode.NOT_FOUND, f"No valid key {key_id[:64]}: expected the id of one that is listed")

    async def open_local(self, path: Path) -> None:
        """Make sure that the key file at `path` holds the local operator's key and that the store knows it.

        Raises KeyFileError when the file is not ours or holds no key.
        """
        secret = _read_key_file(path)
        known = self._by_id.get(LOCAL_ID)
        if secret is not None and known is not None and known.hash == _hash(secret):
            return
        if secret is None:
            secret = _new_secret()
            _write_key_file(path, secret)
        record = _record(LOCAL_ID, _operator(), Role.ADMIN, secret)
        await self._writer.run(lambda tx: replace_key(tx, record))
        if known is not None:
            self._by_hash.pop(known.hash, None)
        self._remember(record)

    def _remember(self, record: KeyRecord) -> None:
        self._by_id[record.id] = record
        self._by_hash[record.hash] = Principal(record.id, record.name, Role(record.role))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _new_secret() -> str:
    return "sf_" + secrets.token_urlsafe(32)


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


def _record(key_id: str, name: str, role: Role, secret: str) -> KeyRecord:
    return KeyRecord(id=key_id, name=name, role=role.value, prefix=secret[:8], hash=_hash(secret))


def _operator() -> str:
    """The name of whoever runs the engine; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"


def _read_key_file(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{path}: can't read the key file: {error.strerror}") from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise KeyFileError(f"{path}: is a folder where the key file should be; move it away")
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid():
            raise KeyFileError(f"{path}: the key file belongs to another user (uid {found.st_uid}); delete it")
        if found.st_mode & 0o077:
            log.warning("the key file could be read by others (mode %o); it is now 0600", found.st_mode & 0o777)
            os.fchmod(file.fileno(), 0o600)
        secret = file.read(4096).strip()
    if len(secret) < 32:
        raise KeyFileError(f"{path}: holds no key; delete the file and start the engine again to get a new one")
    return secret


def _write_key_file(path: Path, secret: str) -> None:
    """Whole or not at all; a file that appeared meanwhile is someone else's and is not written to."""
    partial = path.with_suffix(".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secret + "\n")
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(partial)
        finally:
            partial.unlink()
    except OSError as error:
        raise KeyFileError(f"{path}: can't write the key file: {error.strerror}") from error
