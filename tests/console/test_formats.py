"""Short words for numbers: what a column is wide enough for, whatever comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.formats import age, money, named, plural, shorten, size, speaks_unicode, status


@given(st.floats(min_value=-10, max_value=9e8))
def test_an_age_fits_its_column(seconds: float) -> None:
    assert 2 <= len(age(seconds)) <= 6


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(-3, "0s"), (41.9, "41s"), (192, "3m12s"), (720, "12m"), (7_500, "2h05m"), (61_200, "17h"), (180_000, "2d")],
)
def test_ages(seconds: float, word: str) -> None:
    assert age(seconds) == word


@given(st.integers(min_value=0, max_value=1 << 60))
def test_a_size_fits_its_column(count: int) -> None:
    assert len(size(count)) <= 10


def test_amounts_and_names() -> None:
    assert (money("1.239"), money(0), money("0.0042")) == ("$1.24", "$0.00", "$0.0042")
    assert (plural(1, "task"), plural(20_000, "task")) == ("1 task", "20,000 tasks")
    assert named(["a", "b"]) == "a, b"
    assert named(list("abcdef")) == "a, b, c, d and 2 more"


@given(st.text(max_size=40), st.integers(min_value=0, max_value=40))
def test_shortened_text_fits(text: str, width: int) -> None:
    assert len(shorten(text, width)) <= width


def test_a_status_is_a_glyph_and_a_word() -> None:
    assert status("failed", ascii_only=False) == "✖ failed"
    assert status("failed", ascii_only=True) == "X failed"
    assert status("unheard-of", ascii_only=True) == "? unheard-of"


@pytest.mark.parametrize(
    ("environment", "unicode"),
    [({"LANG": "de_DE.UTF-8"}, True), ({"LC_ALL": "C", "LANG": "C.utf8"}, False), ({}, False)],
)
def test_the_locale_says_what_the_terminal_takes(environment: dict[str, str], unicode: bool) -> None:
    assert speaks_unicode(environment) is unicode
