"""Creating a database and bringing an older one up to date. Loaded only when there is something to do."""

import json
import sqlite3
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Connection, StaticPool, create_engine, text

from engine.store.migrations import HEAD


def bring_to_head(raw: sqlite3.Connection, new: bool) -> None:
    """All or nothing, in one transaction. `raw` must be in none and stays open.

    A new database gets the tables as they are today and the mark of the newest revision, which spares Alembic;
    a test holds that both ways lead to the same schema.
    """
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with engine.connect() as connection:
        raw.execute("BEGIN IMMEDIATE")
        try:
            if new:
                _create(connection)
            else:
                _migrate(connection)
            _sign(connection)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def _create(connection: Connection) -> None:
    from sqlmodel import SQLModel

    import engine.store.tables  # noqa: F401 - fills the metadata

    SQLModel.metadata.create_all(connection, checkfirst=False)
    connection.execute(
        text(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    command.upgrade(config, "head")


def _sign(connection: Connection) -> None:
    """Leave the version that made this schema, so that an older one can say which it would take."""
    connection.execute(
        text(
            "INSERT INTO engine_state (name, value) VALUES ('written_by', :version) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        ),
        {"version": json.dumps(version("shopfloor"))},
    )
