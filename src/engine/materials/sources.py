"""Where datasets come from: a file or folder of this machine, or an http(s) address.

Everything here blocks, checks `stop` between chunks, and writes only the new path that it is given.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import urllib.parse
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from engine.materials.background import Stop, Stopped
from engine.materials.errors import InvalidInput, MaterialError, reason
from engine.materials.trees import Kind, Limits, Manifest, copy_file, entry_of, restore, scan, size_words

if TYPE_CHECKING:
    import httpx

# An address may hold a secret, and httpx tells each one that it asks.
logging.getLogger("httpx").setLevel(logging.WARNING)

_CHUNK = 1 << 20
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOK_EVERY = 64 << 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What a fetch may take. `attempts` and `backoff_s` bound the retries of what may pass by itself."""

    max_bytes: int
    keep_free_bytes: int = 0
    max_entries: int = 1_000_000
    attempts: int = 4
    backoff_s: float = 1.0
    connect_s: float = 10.0
    read_s: float = 60.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """Content that was written: its SHA-256 (of a folder: the id of its tree), and what tells if it is still new."""

    digest: str
    size: int
    validators: dict[str, str] = field(default_factory=dict)


def parse(source: str, where: str = "source") -> Path | str:
    """A path of this machine, or an http(s) address. Raises `InvalidInput` on the field `where`."""
    try:
        parts = urllib.parse.urlsplit(source)
    except ValueError as error:
        raise InvalidInput(where, f"is no address: {error}", source) from error
    scheme = parts.scheme.lower()
    if scheme in {"http", "https"}:
        if not parts.hostname:
            raise InvalidInput(where, "must name a host", source)
        return source
    if scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise InvalidInput(where, "a file:// address must be of this machine: file:///path", source)
        path = urllib.parse.unquote(parts.path)
    else:
        path = source
    if not path.startswith("/") or "\0" in path:
        raise InvalidInput(where, "must be an absolute path, file:///path or an http(s):// address", source)
    return Path(path)


def fetch_path(path: Path, target: Path, terms: Terms, known: dict[str, str], stop: Stop) -> Fetched | None:
    """Copy a file or folder to `target`; None when it is still what `known` says."""
    try:
        if path.is_dir():
            return _fetch_folder(path, target, terms, known, stop)
        if not path.is_file():
            what = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise MaterialError(f"{path} {what} on the engine's machine")
        status = path.stat()
        validators = {"stamp": f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"}
        if validators == known:
            return None
        _check_size(status.st_size, terms)
        _check_room(target, status.st_size, terms)
        digest, size = copy_file(str(path.resolve()), str(target), str(path), stop)
        return Fetched(digest, size, validators)
    except OSError as error:
        raise MaterialError(f"{path} could not be copied: {reason(error)}") from error


def _fetch_folder(path: Path, target: Path, terms: Terms, known: dict[str, str], stop: Stop) -> Fetched | None:
    limits = Limits(terms.max_entries, terms.max_bytes)
    found, _ = scan(path, limits, stop, honour_ignore=False)
    stamp = hashlib.sha256()
    for item in found:
        stamp.update(
            os.fsencode(f"{item.path}\0{item.kind}\0{item.mode}\0{item.size}\0{item.mtime_ns}\0{item.target}\n")
        )
    validators = {"stamp": stamp.hexdigest()}
    if validators == known:
        return None
    _check_room(target, sum(item.size for item in found), terms)
    root = path.resolve()
    manifest = Manifest(tuple(entry_of(root, item, stop) for item in found))
    restore(root, manifest, target, stop)
    for entry in manifest.entries:
        if entry.kind is Kind.FILE:
            os.chmod(f"{target}/{entry.path}", entry.mode & 0o555)  # noqa: PTH101
    return Fetched(manifest.id, manifest.bytes, validators)


def _check_size(size: int, terms: Terms) -> None:
    if size > terms.max_bytes:
        raise MaterialError(f"it is larger than {size_words(terms.max_bytes)}, the most that dataset_max_gb allows")


def _check_room(target: Path, size: int, terms: Terms) -> None:
    free = shutil.disk_usage(target.parent).free
    if free - size < terms.keep_free_bytes:
        raise MaterialError(f"the engine's disk has no room for it: {size_words(free)} are free")


def fetch_http(url: str, target: Path, terms: Terms, known: dict[str, str], stop: Stop) -> Fetched | None:
    """Download `url` to `target`; None when the server says that it is still what `known` says.

    What may pass by itself (a broken connection, a busy server) is tried again a few times.
    """
    for attempt in range(1, terms.attempts + 1):
        try:
            return _blocking(lambda: _download(url, target, terms, known), stop)
        except _Transient as error:
            target.unlink(missing_ok=True)
            if attempt == terms.attempts:
                raise MaterialError(f"{error}, {attempt} times") from error
        except OSError as error:
            raise MaterialError(f"could not be written: {reason(error)}") from error
        stop.wait(terms.backoff_s * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


class _Transient(Exception):
    """A failure that may pass by itself."""


def _blocking(download: Callable[[], Coroutine[None, None, Fetched | None]], stop: Stop) -> Fetched | None:
    """Run a download on a loop of this thread's own, so that it can be cancelled in the middle of a read."""

    async def run() -> Fetched | None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(download())

        def cancel() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

        stop.on_set(cancel)
        return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError as error:
        raise Stopped from error


async def _download(url: str, target: Path, terms: Terms, known: dict[str, str]) -> Fetched | None:
    import httpx

    headers = {"accept-encoding": "identity"}
    if "etag" in known:
        headers["if-none-match"] = known["etag"]
    if "last-modified" in known:
        headers["if-modified-since"] = known["last-modified"]
    timeout = httpx.Timeout(terms.read_s, connect=terms.connect_s)
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, max_redirects=terms.redirects, timeout=timeout) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == 304 and known:
                return None
            _check_status(response)
            _check_length(response, target, terms)
            with target.open("wb") as file:
                digest, size = await _save(response.aiter_raw(_CHUNK), file, target, terms)
            names = ("etag", "last-modified")
            return Fetched(digest, size, {name: response.headers[name] for name in names if name in response.headers})
    except httpx.TooManyRedirects as error:
        raise MaterialError(f"the server redirected more than {terms.redirects} times") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
        raise MaterialError(f"the address can't be fetched: {str(error).lower()}") from error
    except httpx.TimeoutException as error:
        raise _Transient("the server did not answer in time") from error
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise MaterialError("the server's certificate is not one that this machine trusts") from error
        raise _Transient("the server could not be reached") from error
    except httpx.TransportError as error:
        raise _Transient("the connection broke") from error


def _check_status(response: "httpx.Response") -> None:
    if response.is_success:
        return
    words = f"the server answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code in _TRANSIENT:
        raise _Transient(words)
    raise MaterialError(words)


def _check_length(response: "httpx.Response", target: Path, terms: Terms) -> None:
    length = response.headers.get("content-length", "")
    if length.isdecimal():
        _check_size(int(length), terms)
        _check_room(target, int(length), terms)


async def _save(chunks: AsyncIterator[bytes], file: BinaryIO, target: Path, terms: Terms) -> tuple[str, int]:
    digest, size, looked = hashlib.sha256(), 0, 0
    async for chunk in chunks:
        size += len(chunk)
        _check_size(size, terms)
        if size - looked > _LOOK_EVERY:
            looked = size
            _check_room(target, 0, terms)
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest(), size
