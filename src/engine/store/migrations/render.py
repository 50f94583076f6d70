"""Writes `schema.sql` from the tables: `python -m engine.store.migrations.render`, after a change of the tables.

A new database is made from that file, so that an engine's first start loads neither SQLAlchemy nor Alembic.
"""

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import SQLModel

import engine.store.tables  # noqa: F401 - fills the metadata
from engine.store.migrations import SCHEMA

_VERSION = (
    "CREATE TABLE alembic_version (\n    version_num VARCHAR(32) NOT NULL,\n"
    "    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
)


def schema() -> str:
    """All tables and indexes as SQLite takes them, and the table in which Alembic keeps the revision."""
    made = []
    for table in SQLModel.metadata.sorted_tables:
        made.append(CreateTable(table).compile(dialect=dialect()))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += [CreateIndex(index).compile(dialect=dialect()) for index in indexes]
    text = "".join(f"{str(statement).strip()};\n\n" for statement in (*made, _VERSION))
    return "\n".join(line.rstrip().expandtabs(4) for line in text.strip().splitlines()) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema())
