"""What can go wrong with the database, in words that a person can act on."""

from typing import ClassVar


class StoreError(Exception):
    """The database could not do what was asked; the message says what to do.

    `fatal` tells whether everything in the same transaction is gone with it.
    """

    fatal: ClassVar[bool] = True


class NewerDatabase(StoreError):
    """The database was written by a newer shopfloor than this one."""


class DamagedDatabase(StoreError):
    """The file is not a sound shopfloor database. It was left as it was found."""


class LockedDatabase(StoreError):
    """Another program holds the database."""


class DiskFull(StoreError):
    """There is no room to write."""


class Conflict(StoreError):
    """A row breaks a rule of its table: it must be unique and is there already, or a check refuses it."""

    fatal = False
