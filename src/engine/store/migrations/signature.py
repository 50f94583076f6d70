"""The version that made a schema, left in the database, so that an older one can say which it would take."""

import json
import sqlite3
from importlib.metadata import version


def sign(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO engine_state (name, value) VALUES ('written_by', :version)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        {"version": json.dumps(version("shopfloor"))},
    )


def signed_by(connection: sqlite3.Connection) -> str | None:
    """None where it can't be told: the schema is a newer one, after all."""
    try:
        row = connection.execute("SELECT value FROM engine_state WHERE name = 'written_by'").fetchone()
        return str(json.loads(row[0])) if row else None
    except (sqlite3.Error, ValueError):
        return None
