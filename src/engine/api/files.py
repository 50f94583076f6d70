"""Files over HTTP, whole or in part, read in pieces: what is sent never stands in memory as a whole."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from engine.api.errors import Refusal, not_found
from engine.protocol.states import ErrorCode

_PIECE: Final = 256 << 10
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")


async def file_reply(request: Request, folder: Path, name: str, media_type: str, inline: bool = False) -> Response:
    """The file `name` below `folder`, or the one range that is asked for. A file that grows is cut at its size of now.

    Raises Refusal: 404 when it is gone or leads out of the folder, 416 for a range outside of it.
    """
    opened = await asyncio.to_thread(_open, folder, name)
    if opened is None:
        raise not_found("file", name)
    file, size = opened
    try:
        wanted = _wanted(request.headers.get("range"), size)
    except Refusal:
        file.close()
        raise
    first, end = wanted or (0, size)
    headers = {"Content-Length": str(end - first), "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    if not inline:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(Path(name).name, safe='')}"
    return StreamingResponse(_pieces(file, first, end), 200 if wanted is None else 206, headers, media_type=media_type)


def _open(folder: Path, name: str) -> tuple[FileIO, int] | None:
    path = folder / name
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve(strict=True)) or not path.is_file():
            return None
        file = FileIO(path)
    except OSError:
        return None
    return file, os.fstat(file.fileno()).st_size


def _wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end of the range; None for the whole file, which is also the answer to what isn't one range."""
    found = _RANGE.match(header.strip()) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    start, stop = found.groups()
    if start:
        first, end = int(start), min(int(stop) + 1, size) if stop else size
        if stop and int(stop) < int(start):
            return None
    else:
        first, end = max(0, size - int(stop)), size
    if first >= size:
        raise Refusal(
            ErrorCode.BAD_REQUEST,
            f"The range starts at or after the end: there are {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
            status=416,
        )
    return first, end


async def _pieces(file: FileIO, offset: int, end: int) -> AsyncIterator[bytes]:
    with file:
        while offset < end:
            piece = await asyncio.to_thread(os.pread, file.fileno(), min(_PIECE, end - offset), offset)
            if not piece:
                raise ConnectionAbortedError("the file became shorter while it was sent")
            offset += len(piece)
            yield piece
