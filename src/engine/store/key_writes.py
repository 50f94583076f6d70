"""Rows of API keys. The store holds a key's hash, never the key."""

from dataclasses import dataclass

from engine.store.writer import Transaction


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is stored; `hash` is the hexadecimal SHA-256 of the secret."""

    id: str
    name: str
    role: str
    prefix: str
    hash: str


def insert_key(tx: Transaction, key: KeyRecord) -> None:
    tx.execute(
        "INSERT INTO keys (id, name, role, prefix, hash, created_at)"
        " VALUES (:id, :name, :role, :prefix, :hash, :created_at)",
        {
            "id": key.id,
            "name": key.name,
            "role": key.role,
            "prefix": key.prefix,
            "hash": key.hash,
            "created_at": tx.now,
        },
    )
    tx.event("key.created", key.id, {"name": key.name, "role": key.role, "prefix": key.prefix})


def replace_key(tx: Transaction, key: KeyRecord) -> None:
    """Give the key of this id another secret, and make it valid again if it was revoked."""
    tx.execute("DELETE FROM keys WHERE id = :id", {"id": key.id})
    insert_key(tx, key)


def revoke_key(tx: Transaction, key_id: str, user: str) -> bool:
    """Whether there was such a key that was not revoked before."""
    changed = tx.execute(
        "UPDATE keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL", {"id": key_id, "now": tx.now}
    )
    if changed:
        tx.event("key.revoked", key_id, {"by": user})
    return changed == 1


def live_keys(tx: Transaction) -> list[KeyRecord]:
    """All keys that are not revoked."""
    rows = tx.rows("SELECT id, name, role, prefix, hash FROM keys WHERE revoked_at IS NULL ORDER BY created_at")
    return [KeyRecord(*row) for row in rows]
