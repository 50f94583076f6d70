"""Bringing an older database up to date. Loaded only when there is something to do."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import StaticPool, create_engine

from engine.store.migrations.signature import sign


def bring_to_head(raw: sqlite3.Connection) -> None:
    """Run the revisions that are missing: all or none, in one transaction. `raw` must be in none, and stays open."""
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with engine.begin() as connection:
        raw.execute("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        sign(raw)
