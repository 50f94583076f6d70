"""The README's table of settings, made from the settings themselves; `python -m tests.settings_table` writes it."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from engine.settings import Settings

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"


def table() -> str:
    """A row for each setting: its key in `config.toml`, its default, its sentence."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    lines += [f"| `{name}` | {_default(name, field)} | {field.description} |" for name, field in _fields(Settings)]
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _default(name: str, field: FieldInfo) -> str:
    if name == "home":
        return "the user data folder"
    if field.default is None or field.default is PydanticUndefined:
        return ""
    return f"`{field.default if isinstance(field.default, str) else json.dumps(field.default)}`"


def with_table(text: str) -> str:
    """The README's text with the table as it must be."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"README.md has no line {BEGIN!r}"
    assert end, f"README.md has no line {END!r}"
    return before + begin + table() + end + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
