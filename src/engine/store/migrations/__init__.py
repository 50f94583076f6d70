"""The schema and its history, as far as a start needs them without loading Alembic."""

from pathlib import Path

REVISIONS = ("0001",)
"""Every revision in `versions/`, oldest first. A database at any other one was written by a newer shopfloor."""

HEAD = REVISIONS[-1]

SCHEMA = Path(__file__).with_name("schema.sql")
"""The tables of a new database. A test holds that they are those of `tables` and those that the revisions make."""
