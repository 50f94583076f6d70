"""Themes: all of ours can be read, and by a person; a wrong one is named and the default used."""

from pathlib import Path

import pytest
from rich.color import Color

from console.formats import MARKS, Tone
from console.settings import read_toml
from console.themes import COLOURS, ThemeFault, load_theme, shipped_folder, theme_files
from tests.console.screen import PLAIN, canned

OURS = sorted(shipped_folder().glob("*.toml"))
GOOD = (shipped_folder() / "shopfloor.toml").read_text()


def luminance(colour: str) -> float:
    triplet = Color.parse(colour).triplet
    assert triplet is not None
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in triplet.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_there_are_the_themes_that_people_need() -> None:
    assert {"shopfloor", "paper", "high-contrast", "colour-blind", "monochrome"} < {file.stem for file in OURS}
    assert len(OURS) >= 6


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_a_theme_can_be_read_by_a_person(file: Path) -> None:
    loaded = load_theme(file)
    if loaded.textual.ansi:
        return
    colours = read_toml(file)[0]["colors"]
    needed = 7.0 if file.stem == "high-contrast" else 4.5
    for ground in ("background", "raised"):
        assert contrast(colours["text"], colours[ground]) >= 7
        for tone in ("dim", "accent", "good", "wants", "bad"):
            # What is dim may be a little fainter on the row under the cursor, which is marked by a pointer too.
            least = needed if ground == "background" else needed * 0.7
            assert contrast(colours[tone], colours[ground]) >= least, f"{tone} on {ground}"


def test_monochrome_has_no_colour_at_all() -> None:
    palette = load_theme(shipped_folder() / "monochrome.toml").palette
    assert all(style.color is None or style.color.is_default for style in palette)
    assert palette.tone(Tone.BAD) != palette.tone(Tone.TEXT)
    assert palette.cursor.reverse


def test_every_state_has_a_glyph_and_a_stand_in_of_its_own() -> None:
    tasks = ["blocked", "queued", "preparing", "running", "collecting", "waiting", "completed", "failed", "cancelled"]
    assert len({MARKS[state].glyph for state in tasks}) == len(tasks)
    assert len({MARKS[state].ascii for state in tasks}) == len(tasks)
    assert all(mark.ascii.isascii() for mark in MARKS.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("#d5d8dc", "#d5d8"), "mine.toml:8: text = '#d5d8': is no colour"),
        (("#d5d8dc", "cyan"), "mine.toml:8: text = 'cyan': a terminal colour needs ansi = true"),
        (('text = "#d5d8dc"\n', ""), "mine.toml:4: [colors] lacks text"),
        (("dim =", "dimm ="), "mine.toml:9: dimm: is no colour of a theme"),
        (("dark = true", "dark = 1"), "mine.toml:2: dark = 1: must be true or false"),
        (("dark = true", "bright = true"), "mine.toml:2: bright: is not part of a theme"),
        (("[colors]", "[colors"), "mine.toml:4: "),
        (("[colors]", '[styles]\nbad = "loud noise"\n[colors]'), "mine.toml:5: bad = 'loud noise': write bold"),
    ],
)
def test_a_wrong_theme_is_named_by_file_line_and_reason(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(*change))
    with pytest.raises(ThemeFault) as raised:
        load_theme(file)
    assert str(raised.value).startswith(says)


def test_a_theme_of_ones_own_stands_before_ours(tmp_path: Path) -> None:
    (tmp_path / "themes").mkdir()
    mine = tmp_path / "themes" / "paper.toml"
    mine.write_text(GOOD)
    assert theme_files(tmp_path)["paper"] == mine
    assert len(COLOURS) == 9


async def test_a_wrong_theme_leaves_the_default(tmp_path: Path) -> None:
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "mine.toml").write_text(GOOD.replace("#d5d8dc", "nope"))
    (tmp_path / "config.toml").write_text('[console]\ntheme = "mine"\n')
    async with canned(tmp_path) as screen:
        await screen.shows("mine.toml:8: text = 'nope'")
        assert screen.app.theme == "shopfloor"


async def test_no_color_means_the_terminals_two_colours(tmp_path: Path) -> None:
    async with canned(tmp_path, environment={"LANG": "C.UTF-8", "NO_COLOR": "1"}) as screen:
        assert screen.app.theme == "monochrome"
        styles = [segment.style for strip in screen.app.screen._compositor.render_strips() for segment in strip]
        colours = {colour for style in styles if style for colour in (style.color, style.bgcolor) if colour}
        assert all(colour.is_default for colour in colours), colours


async def test_a_theme_is_tried_as_it_is_chosen_and_left_with_escape(tmp_path: Path) -> None:
    async with canned(tmp_path) as screen:
        await screen.press("T", "j")
        await screen.until(lambda: screen.app.theme == "colour-blind")
        await screen.press("escape")
        await screen.until(lambda: screen.app.theme == "shopfloor")


async def test_ascii_by_locale(tmp_path: Path) -> None:
    async with canned(tmp_path, environment={"LANG": "C"}) as screen:
        text = await screen.shows("> running", "? waiting", ". queued")
        assert text.isascii()


async def test_the_row_under_a_cursor_that_is_turned_round_has_one_ground(tmp_path: Path) -> None:
    """A dim or coloured text turned round would be a ground of its own, in stripes."""
    async with canned(tmp_path, environment={**PLAIN, "SHOPFLOOR_CONSOLE__THEME": "terminal"}) as screen:
        queue = screen.app.desk.queue
        await screen.until(lambda: queue.has_focus)
        styles = {segment.style for segment in queue.render_line(1) if segment.text.strip() not in {"", "┃"}}
        assert {(style.color, style.dim, style.reverse) for style in styles} == {
            (next(iter(styles)).color, next(iter(styles)).dim, True)
        }
