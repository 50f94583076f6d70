"""The schema's history. `REVISIONS` says what this version knows without loading Alembic at every start."""

REVISIONS = ("0001",)
"""Every revision in `versions/`, oldest first. A database at any other one was written by a newer shopfloor."""

HEAD = REVISIONS[-1]
