"""A part of a growing file of text, never cut within a character."""

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

SMALLEST = 4
"""Bytes of the longest character: a smaller window might hold none."""
LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes `offset` to `next_offset` of `size`; what is not UTF-8 stands as U+FFFD in `text`.

    `offset` is up to 3 bytes after the one asked for when that was in the middle of a character.
    """

    offset: int
    next_offset: int
    size: int
    text: str


def read(path: Path, offset: int, limit: int, *, final: bool) -> Window:
    """At most `limit` bytes from `offset`. `final`: the file grows no more, so an unfinished character is shown."""
    limit = min(max(limit, SMALLEST), LARGEST)
    offset = max(offset, 0)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Window(offset, offset, 0, "")
    try:
        size = os.fstat(fd).st_size
        if offset >= size:
            return Window(offset, offset, size, "")
        offset += _unfinished(os.pread(fd, 3, max(0, offset - 3))[: min(3, offset)], os.pread(fd, 3, offset))
        data = os.pread(fd, min(limit, size - offset), offset)
    finally:
        os.close(fd)
    return _window(data, offset, size, final=final)


def end_of(path: Path, limit: int, *, final: bool) -> Window:
    """The last `limit` bytes, without the line that begins before them."""
    limit = min(max(limit, SMALLEST), LARGEST)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Window(0, 0, 0, "")
    try:
        size = os.fstat(fd).st_size
        offset = max(0, size - limit)
        # One byte more tells whether the window starts on a line by itself.
        data = os.pread(fd, size - offset + 1, offset - 1) if offset else os.pread(fd, size, 0)
    finally:
        os.close(fd)
    if offset:
        line = data.find(b"\n") + 1
        if 0 < line < len(data):
            offset, data = offset - 1 + line, data[line:]
        else:
            return read(path, offset, limit, final=final)
    return _window(data, offset, size, final=final)


def _window(data: bytes, offset: int, size: int, *, final: bool) -> Window:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=final and offset + len(data) == size)
    rest = len(decoder.getstate()[0])
    return Window(offset, offset + len(data) - rest, size, text)


def _unfinished(before: bytes, after: bytes) -> int:
    """How many bytes of `after` belong to a character that begins in `before`."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(before)
    begun = decoder.getstate()[0]
    if not begun:
        return 0
    for count in range(1, len(after) + 1):
        try:
            (begun + after[:count]).decode()
        except UnicodeDecodeError:
            continue
        return count
    return 0
