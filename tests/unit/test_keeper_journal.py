"""The journal tells the same after any kill; the framing puts together what the socket took apart."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.executors.keeper import frames, journal
from engine.executors.keeper.journal import Attempt, Journal
from engine.executors.keeper.spawn import NoRoomError, spawn

if TYPE_CHECKING:
    from engine.executors.keeper.frames import Message
    from engine.executors.keeper.journal import Outcome

Facts = dict[str, tuple[object, ...]]

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
paths = st.binary(min_size=1, max_size=30).map(os.fsdecode)
times = st.floats(min_value=0, max_value=1e10)
codes = st.integers(min_value=0, max_value=255)
outcomes = st.one_of(
    st.tuples(times, codes, st.none(), st.none(), st.none()),
    st.tuples(times, st.none(), codes, st.none(), st.none()),
    st.tuples(times, st.none(), st.none(), texts, st.none()),
    st.tuples(times, st.none(), st.none(), st.none(), texts),
)


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """The lines that some attempts leave, one attempt after the other."""
    lines = []
    for number in range(draw(st.integers(min_value=0, max_value=4))):
        attempt = Attempt(f"task{number}#1", draw(paths))
        lines.append(journal.intent(attempt))
        attempt.pid, attempt.born_from, attempt.born_by = (draw(st.integers(1, 1 << 22)) for _ in range(3))
        attempt.started_at = draw(times)
        lines.append(journal.start(attempt))
        attempt.outcome = draw(outcomes)
        lines += draw(st.sampled_from([[], [journal.end(attempt, whole=False)]]))
        lines += draw(
            st.sampled_from(
                [
                    [],
                    [journal.end(attempt, whole=True)],
                    [journal.end(attempt, whole=True), journal.forget(attempt.key)],
                ]
            )
        )
    return lines


def facts(attempts: dict[str, Attempt]) -> Facts:
    return {
        key: (a.key, a.output, a.pid, a.born_from, a.born_by, a.started_at, a.outcome, a.ended)
        for key, a in attempts.items()
    }


@given(lines=histories(), cut=st.integers(min_value=0))
def test_cut_at_any_byte_it_tells_what_the_whole_lines_say(lines: list[bytes], cut: int) -> None:
    data = b"".join(lines)
    cut %= len(data) + 1
    whole = data[:cut].count(b"\n")

    assert facts(journal.read(data[:cut])) == facts(journal.read(b"".join(lines[:whole])))


@given(lines=histories(), junk=st.binary(max_size=60), at=st.integers(min_value=0))
def test_junk_between_the_lines_costs_nothing_but_itself(lines: list[bytes], junk: bytes, at: int) -> None:
    at %= len(lines) + 1
    junk = b"?" + junk.replace(b"\n", b"?") + b"\n"

    assert facts(journal.read(b"".join([*lines[:at], junk, *lines[at:]]))) == facts(journal.read(b"".join(lines)))


@given(data=st.binary(max_size=300))
def test_a_journal_of_anything_is_read_without_an_error(data: bytes) -> None:
    journal.read(data)


@given(outcome=outcomes, path=paths)
def test_what_was_written_is_what_is_read(outcome: Outcome, path: str) -> None:
    attempt = Attempt("t#1", path)
    attempt.outcome = outcome
    (read,) = journal.read(journal.intent(attempt) + journal.end(attempt, whole=True)).values()
    assert (read.output, read.outcome, read.ended) == (path, outcome, True)


def test_lines_after_a_torn_one_are_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Journal(str(path))
    first.add(journal.intent(Attempt("a#1", "/out")))
    first.write()
    first.close()
    with path.open("ab") as file:
        file.write(b"I\tb#1\t/o")

    second = Journal(str(path))
    assert list(second.load()) == ["a#1"]
    second.add(journal.intent(Attempt("c#1", "/out")))
    second.write()
    assert list(journal.read(path.read_bytes())) == ["a#1", "c#1"]


def test_it_stays_small_while_attempts_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    book = Journal(str(path))
    keeps = Attempt("keeps#1", "/out")
    book.add(journal.intent(keeps))
    for number in range(10_000):
        attempt = Attempt(f"t{number}#1", "/some/folder/output.log")
        attempt.outcome = (1.0, 0, None, None, None)
        for line in (journal.intent(attempt), journal.end(attempt, whole=True), journal.forget(attempt.key)):
            book.add(line)
        book.write()
        book.compact([keeps], 1)

    assert path.stat().st_size < 2 * journal.COMPACT_AT
    assert list(journal.read(path.read_bytes())) == ["keeps#1"]


def test_on_a_full_disk_nothing_is_half_written_and_nothing_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    book = Journal(str(path))
    book.add(journal.intent(Attempt("a#1", "/out")))
    book.write()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
    book.add(journal.intent(Attempt("b#1", "/out")))

    error = book.write()

    assert error is not None
    assert error.errno == errno.ENOSPC
    assert book.behind
    assert list(journal.read(path.read_bytes())) == ["a#1"]
    monkeypatch.undo()
    assert book.write() is None
    assert list(journal.read(path.read_bytes())) == ["a#1", "b#1"]


messages = st.lists(
    st.lists(
        st.one_of(st.text(max_size=5), st.integers(), st.none(), st.dictionaries(texts, texts, max_size=3)),
        min_size=1,
        max_size=4,
    ).map(tuple),
    max_size=4,
)


@given(sent=st.lists(messages, max_size=5), data=st.data())
def test_frames_come_out_whole_however_they_are_cut(sent: list[list[Message]], data: st.DataObject) -> None:
    stream = b"".join(frames.pack(each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    unpacker = frames.Unpacker()
    heard: list[Message] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        heard += unpacker.feed(stream[begin:end])

    assert heard == [message for each in sent for message in each]


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x01\x00\x00\x00N", b"\x00\x00\x00\x00", b"\x02\x00\x00\x00[["]
)
def test_what_is_no_frame_is_an_error(data: bytes) -> None:
    with pytest.raises(frames.BadFrameError):
        frames.Unpacker().feed(data)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_apart_from_a_command_that_can_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "posix_spawn", full)
    with pytest.raises(NoRoomError):
        spawn(["true"], {}, str(tmp_path), str(tmp_path / "output.log"), [])
