"""Themes: one TOML file each, ours in `themes/`, a person's own in the config folder's `themes/`.

A file names nine colours by what they are for, and may give some of them attributes. A file's name is the
theme's name; one of a person's own stands in front of ours. What is wrong with a file is named by line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.color import Color, ColorParseError
from rich.errors import StyleSyntaxError
from rich.style import Style
from textual.theme import Theme

from console.formats import Tone
from console.settings import DEFAULT_THEME, Fault, config_folder, line_of, read_toml

COLOURS = ("background", "raised", "rule", "text", "dim", "accent", "good", "wants", "bad")
STYLED = ("rule", "text", "dim", "accent", "good", "wants", "bad", "cursor")


_BOLD = Style(bold=True)


class Palette(NamedTuple):
    """What the line widgets paint with; one style a purpose."""

    text: Style
    dim: Style
    rule: Style
    accent: Style
    good: Style
    wants: Style
    bad: Style
    cursor: Style

    def tone(self, tone: Tone) -> Style:
        style: Style = getattr(self, tone.value)
        return style

    def bold(self, tone: Tone) -> Style:
        return self.tone(tone) + _BOLD


class LoadedTheme(NamedTuple):
    """A theme as Textual wants it, and as our own widgets do."""

    textual: Theme
    palette: Palette


class ThemeFault(Exception):
    """A theme file that can't be used, and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def shipped_folder() -> Path:
    """Our own themes: beside the package in a wheel, at the root of a checkout."""
    inside = Path(__file__).with_name("themes")
    return inside if inside.is_dir() else Path(__file__).parents[2] / "themes"


def theme_files(folder: Path | None = None) -> dict[str, Path]:
    """Every theme's name and file, sorted by name."""
    own = (folder or config_folder()) / "themes"
    files = {file.stem: file for place in (shipped_folder(), own) for file in sorted(place.glob("*.toml"))}
    return dict(sorted(files.items(), key=lambda item: (item[0] != DEFAULT_THEME, item[0])))


def load_theme(file: Path) -> LoadedTheme:  # noqa: PLR0912 - one branch a way to be wrong
    """Read a theme file. Raises `ThemeFault` with file, line and reason."""
    tables, text, fault = read_toml(file)
    if fault:
        raise ThemeFault(fault)
    if not text:
        raise ThemeFault(Fault(file, None, "there is no such file, or it is empty"))

    def fail(table: str, key: str, reason: str) -> ThemeFault:
        return ThemeFault(Fault(file, line_of(text, table, key), reason))

    for key, value in tables.items():
        if key in {"dark", "ansi"} and not isinstance(value, bool):
            raise fail("", key, f"{key} = {value!r}: must be true or false")
        if key not in {"dark", "ansi", "colors", "styles"}:
            raise fail("", key, f"{key}: is not part of a theme (dark, ansi, [colors], [styles])")
    ansi = bool(tables.get("ansi", False))
    colours = _table(file, tables, "colors")
    styles = _table(file, tables, "styles")
    for key in colours:
        if key not in COLOURS:
            raise fail("colors", key, f"{key}: is no colour of a theme ({', '.join(COLOURS)})")
    for key in COLOURS:
        if key not in colours:
            raise ThemeFault(Fault(file, _header_line(text, "colors"), f"[colors] lacks {key}"))
        if reason := _why_no_colour(colours[key], ansi=ansi):
            raise fail("colors", key, f"{key} = {colours[key]!r}: {reason}")
    parsed: dict[str, Style] = {}
    for key, value in styles.items():
        if key not in STYLED:
            raise fail("styles", key, f"{key}: can't be styled ({', '.join(STYLED)})")
        try:
            parsed[key] = Style.parse(value)
        except StyleSyntaxError:
            raise fail("styles", key, f"{key} = {value!r}: write bold, dim, italic, underline or reverse") from None
    textual = _textual(file.stem, colours, dark=bool(tables.get("dark", True)), ansi=ansi)
    return LoadedTheme(textual, _palette(colours, parsed))


def _table(file: Path, tables: Mapping[str, Any], name: str) -> dict[str, str]:
    table = tables.get(name, {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ThemeFault(Fault(file, None, f"[{name}] must hold words in quotes"))
    return table


def _header_line(text: str, table: str) -> int | None:
    lines = (number for number, line in enumerate(text.splitlines(), 1) if line.strip() == f"[{table}]")
    return next(lines, None)


def _why_no_colour(value: str, *, ansi: bool) -> str | None:
    try:
        colour = Color.parse(value)
    except ColorParseError:
        return "is no colour; write #rrggbb" + (" or a terminal colour such as bright_red" if ansi else "")
    if not ansi and colour.triplet is None:
        return "a terminal colour needs ansi = true; write #rrggbb"
    return None


def _palette(colours: Mapping[str, str], styles: Mapping[str, Style]) -> Palette:
    made = {name: Style(color=colours[name]) + styles.get(name, Style()) for name in STYLED if name != "cursor"}
    raised = Style(bgcolor=colours["raised"])
    return Palette(**made, cursor=raised + styles.get("cursor", Style()))


def _textual(name: str, colours: Mapping[str, str], *, dark: bool, ansi: bool) -> Theme:
    def css(key: str) -> str:
        value = colours[key]
        return value if value.startswith("#") else f"ansi_{value}"

    reverse = "reverse" if ansi else "none"
    variables = {
        "rule": css("rule"),
        "dim": css("dim"),
        "raised": css("raised"),
        "foreground-muted": css("dim"),
        "text-muted": css("dim"),
        "border": css("rule"),
        "border-blurred": css("rule"),
        "scrollbar": css("rule"),
        "scrollbar-hover": css("accent"),
        "scrollbar-active": css("accent"),
        "scrollbar-background": css("background"),
        "scrollbar-background-hover": css("background"),
        "scrollbar-background-active": css("background"),
        "scrollbar-corner-color": css("background"),
        "block-cursor-background": css("raised"),
        "block-cursor-foreground": css("text"),
        "block-cursor-text-style": reverse,
        "input-cursor-background": css("text"),
        "input-cursor-foreground": css("background"),
        "input-cursor-text-style": reverse,
        "input-selection-background": css("raised"),
    }
    if ansi:
        variables["input-cursor-background"] = variables["input-cursor-foreground"] = "ansi_default"
        # Textual's own style sheet asks for these two where a theme is of the terminal's colours.
        variables |= {"ansi-background": "ansi_default", "ansi-foreground": "ansi_default"}
    return Theme(
        name=name,
        primary=css("accent"),
        secondary=css("accent"),
        warning=css("wants"),
        error=css("bad"),
        success=css("good"),
        accent=css("accent"),
        foreground=css("text"),
        background=css("background"),
        surface=css("background"),
        panel=css("raised"),
        dark=dark,
        ansi=ansi,
        variables=variables,
    )
