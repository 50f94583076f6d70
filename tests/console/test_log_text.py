"""What a task printed, made fit for a terminal, and held window by window, whatever it printed."""

from hypothesis import given
from hypothesis import strategies as st

from console import log_buffer
from console.log_buffer import LogBuffer
from console.log_text import WIDEST, shown

LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12), max_size=30)


@given(st.text())
def test_nothing_that_is_shown_acts_on_a_terminal(text: str) -> None:
    assert all(char.isprintable() for char in shown(text))


def test_colours_and_titles_are_taken_out() -> None:
    assert shown("\x1b[1;31mloss\x1b[0m 1.8") == "loss 1.8"
    assert shown("\x1b]0;rm -rf /\x07done") == "done"
    assert shown("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert shown("\x1b]52;c;aGk=") == ""
    assert shown("a\tb") == "a       b"
    assert shown("bell\a\b\x00") == "bell"


def test_a_progress_bar_shows_its_newest_state() -> None:
    assert shown("10%\r20%\r30%") == "30%"
    assert shown("done\r") == "done"
    assert shown("\r\r") == ""


def test_a_line_without_an_end_says_how_much_more_there_is() -> None:
    text = shown("x" * (WIDEST + 1_500))
    assert text.endswith("[1,500 more characters on this line]")


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=40))
def test_however_it_is_cut_the_same_lines_are_held(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\r", b"\n")
    whole, parts = LogBuffer(), LogBuffer()
    whole.append(0, data.decode("utf-8", "replace"), len(data))
    at = 0
    for cut in [*cuts, len(data)]:
        window = data[at : at + cut]
        if window:
            parts.append(at, window.decode("utf-8", "replace"), at + len(window))
        at += len(window)
    assert (whole.start, whole.stop) == (parts.start, parts.stop) == (0, len(data))
    assert min((line.size for line in parts.lines), default=0) >= 0
    assert sum(line.size for line in parts.lines) == len(data)
    if data.isascii() and data:
        lines = data.decode().removesuffix("\n").split("\n")
        assert [line.text for line in whole.lines] == [line.text for line in parts.lines]
        assert [line.text for line in whole.lines] == [shown(one) for one in lines]


@given(LINES, st.integers(1, 60))
def test_reading_upwards_finds_the_lines_that_reading_downwards_found(lines: list[str], window: int) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    down, up = LogBuffer(), LogBuffer()
    down.append(0, data.decode(), len(data))
    start = data.rfind(b"\n", 0, max(0, len(data) - window)) + 1
    up.append(start, data[start:].decode(), len(data))
    for _ in range(500):
        if up.start == 0:
            break
        offset = max(0, up.start - max(window, 64))
        up.prepend(offset, data[offset : up.start].decode("utf-8", "replace"))
    assert up.start == 0
    assert [line.text for line in up.lines] == [line.text for line in down.lines]
    assert sum(line.size for line in up.lines) == len(data)


@given(LINES)
def test_every_line_is_found_at_its_byte(lines: list[str]) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    buffer = LogBuffer()
    buffer.append(0, data.decode(), len(data))
    at = 0
    for index, line in enumerate(lines):
        assert buffer.offset_of(index) == at
        assert buffer.index_at(at) == index
        at += len(line.encode()) + 1


def test_what_is_held_is_bounded_at_both_ends(monkeypatch: object) -> None:
    buffer = LogBuffer()
    text = "".join(f"line {number}\n" for number in range(log_buffer.MOST_LINES + 500))
    buffer.append(0, text, len(text))
    assert buffer.trim_top() == 500
    assert buffer.lines[0].text == "line 500"
    assert buffer.start == text.index("line 500\n")
    buffer.prepend(0, text[: buffer.start])
    assert buffer.trim_bottom() == 500
    assert (buffer.start, buffer.stop) == (0, text.index(f"line {log_buffer.MOST_LINES}\n"))


def test_a_progress_bar_that_runs_for_days_is_one_short_line() -> None:
    buffer = LogBuffer()
    for step in range(5_000):
        piece = f"\rstep {step} " + "#" * 50
        buffer.append(buffer.stop, piece, buffer.stop + len(piece))
    assert len(buffer.lines) == 1
    assert buffer.lines[0].text.startswith("step 4999 ")
    assert len(buffer._tail) < 200


def test_text_that_does_not_follow_takes_the_place_of_what_was_held() -> None:
    buffer = LogBuffer()
    buffer.append(0, "one\n", 4)
    buffer.append(1_000, "far\n", 1_004)
    assert [line.text for line in buffer.lines] == ["far"]
    assert buffer.start == 1_000
