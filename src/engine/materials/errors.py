"""What goes wrong with what a task needs, in words for the person who submitted it."""


class MaterialError(Exception):
    """A task can't have what it needs. The text is shown to people: it names no path of the engine's own folder."""


class InvalidInput(MaterialError):
    """A field of a request that can't be used; the API answers it with a 422 that names the field."""

    def __init__(self, field: str, message: str, value: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class UnknownSnapshot(MaterialError):
    """No snapshot with that id is stored here."""


def reason(error: OSError) -> str:
    """The operating system's words without the path that it appends."""
    return (error.strerror or type(error).__name__).lower()
