"""Datasets: fetched once, checked, cached, asked again when nothing says that they are still the same."""

import asyncio
import hashlib
import http.server
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine.materials.background import Background
from engine.materials.datasets import Datasets
from engine.materials.errors import InvalidInput, MaterialError
from engine.materials.sources import Terms, parse

TERMS = Terms(max_bytes=1 << 20, attempts=3, backoff_s=0.01, connect_s=5, read_s=5)
ROWS = b"id,text\n" + b"1,hello\n" * 1000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """A real HTTP server. `paths` maps a path to what answers it."""

    url: str = ""
    paths: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def serve(self, path: str, content: bytes, *, etag: str | None = None) -> str:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            same = etag is not None and request.headers.get("If-None-Match") == etag
            request.send_response(304 if same else 200)
            self.statuses.append(304 if same else 200)
            if etag:
                request.send_header("ETag", etag)
            request.send_header("Content-Length", "0" if same else str(len(content)))
            request.end_headers()
            if not same:
                request.wfile.write(content)

        self.paths[path] = answer
        return self.url + path

    def answer(self, path: str, status: int, **headers: str) -> str:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in {"content_length": "0", **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()

        self.paths[path] = answer
        return self.url + path


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.paths[self.path](self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def datasets(tmp_path: Path) -> AsyncIterator[Datasets]:
    background = Background()
    (tmp_path / "datasets").mkdir()
    yield Datasets(tmp_path / "datasets", TERMS, background)
    background.close()


def leftovers(tmp_path: Path) -> list[Path]:
    partial = tmp_path / "datasets" / ".partial"
    return list(partial.iterdir()) if partial.exists() else []


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
async def test_a_file_is_kept_by_its_content(datasets: Datasets, tmp_path: Path, form: str) -> None:
    source = tmp_path / "rows.csv"
    source.write_bytes(ROWS)
    kept = await datasets.ensure("rows", form.format(source), sha(ROWS))
    assert kept.read_bytes() == ROWS
    assert kept == tmp_path / "datasets" / sha(ROWS)
    assert kept.stat().st_mode & 0o222 == 0
    source.unlink()
    assert await datasets.ensure("rows", form.format(source), sha(ROWS)) == kept, "the cache needs no source"


async def test_a_name_with_escapes_in_a_file_address(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "a b%.csv").write_bytes(ROWS)
    kept = await datasets.ensure("rows", f"file://{tmp_path}/a%20b%25.csv", None)
    assert kept.read_bytes() == ROWS


async def test_another_digest_fails_with_both(datasets: Datasets, tmp_path: Path, site: Site) -> None:
    (tmp_path / "rows.csv").write_bytes(ROWS)
    wanted = "0" * 64
    for source in (str(tmp_path / "rows.csv"), site.serve("/rows.csv", ROWS)):
        with pytest.raises(MaterialError) as caught:
            await datasets.ensure("rows", source, wanted)
        assert "dataset 'rows'" in str(caught.value)
        assert sha(ROWS) in str(caught.value)
        assert wanted in str(caught.value)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "datasets" / sha(ROWS)).exists()


async def test_a_file_that_changed_is_fetched_again(datasets: Datasets, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_bytes(ROWS)
    first = await datasets.ensure("rows", str(source), None)
    assert await datasets.ensure("rows", str(source), None) == first
    source.write_bytes(b"other")
    assert (await datasets.ensure("rows", str(source), None)).read_bytes() == b"other"
    assert first.read_bytes() == ROWS


async def test_a_folder_is_kept_whole_and_by_its_content(datasets: Datasets, tmp_path: Path) -> None:
    source = tmp_path / "images"
    (source / "train").mkdir(parents=True)
    (source / "train" / "1.png").write_bytes(b"one")
    (source / ".gitignore").write_text("*")
    (source / "first").symlink_to("train/1.png")
    kept = await datasets.ensure("images", str(source), None)
    assert (kept / "train" / "1.png").read_bytes() == b"one"
    assert (kept / "first").read_bytes() == b"one"
    assert not any(path.stat().st_mode & 0o222 for path in (kept, kept / "train", kept / "train" / "1.png"))
    assert await datasets.ensure("images", str(source), kept.name) == kept
    (source / "train" / "2.png").write_bytes(b"two")
    again = await datasets.ensure("images", str(source), None)
    assert again != kept
    assert (again / "train" / "2.png").read_bytes() == b"two"


async def test_a_download_is_kept_and_asked_for_only_while_it_may_change(
    datasets: Datasets, tmp_path: Path, site: Site
) -> None:
    url = site.serve("/rows.csv", ROWS, etag='"one"')
    kept = await datasets.ensure("rows", url, None)
    assert kept.read_bytes() == ROWS
    assert await datasets.ensure("rows", url, None) == kept
    assert site.statuses == [200, 304]
    site.serve("/rows.csv", b"new", etag='"two"')
    assert (await datasets.ensure("rows", url, None)).read_bytes() == b"new"
    assert site.statuses == [200, 304, 200]
    await datasets.ensure("rows", url, sha(ROWS))
    assert len(site.asked) == 3, "content with a digest is never asked for again"


async def test_without_an_etag_it_is_fetched_again(datasets: Datasets, site: Site) -> None:
    url = site.serve("/rows.csv", ROWS)
    await datasets.ensure("rows", url, None)
    site.serve("/rows.csv", b"new")
    assert (await datasets.ensure("rows", url, None)).read_bytes() == b"new"


async def test_tasks_that_want_the_same_share_one_download(datasets: Datasets, site: Site) -> None:
    url = site.serve("/rows.csv", ROWS)
    kept = await asyncio.gather(*(datasets.ensure(f"rows{n}", url, sha(ROWS)) for n in range(8)))
    assert len(set(kept)) == 1
    assert site.asked == ["/rows.csv"]


async def test_redirects_are_followed_but_not_for_ever(datasets: Datasets, site: Site) -> None:
    site.serve("/rows.csv", ROWS)
    url = site.answer("/moved", 302, location="/rows.csv")
    assert (await datasets.ensure("rows", url, None)).read_bytes() == ROWS
    loop = site.answer("/loop", 302, location="/loop")
    with pytest.raises(MaterialError, match="redirected more than 5 times"):
        await datasets.ensure("rows", loop, None)


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (503, 3), (429, 3)])
async def test_a_refusal_is_a_sentence_and_only_a_passing_one_is_tried_again(
    datasets: Datasets, site: Site, tmp_path: Path, status: int, asked: int
) -> None:
    url = site.answer("/rows.csv", status)
    with pytest.raises(MaterialError, match=f"dataset 'rows': the server answered {status}"):
        await datasets.ensure("rows", url, None)
    assert len(site.asked) == asked
    assert leftovers(tmp_path) == []


async def test_a_connection_that_breaks_is_tried_again(datasets: Datasets, site: Site, tmp_path: Path) -> None:
    def broken(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(ROWS)))
        request.end_headers()
        request.wfile.write(ROWS[:1000])
        if len(site.asked) == 2:
            site.serve("/rows.csv", ROWS)

    site.paths["/rows.csv"] = broken
    assert (await datasets.ensure("rows", site.url + "/rows.csv", None)).read_bytes() == ROWS
    assert len(site.asked) == 3
    site.paths["/always"] = lambda request: request.connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(MaterialError, match="the connection broke, 3 times"):
        await datasets.ensure("rows", site.url + "/always", None)
    assert leftovers(tmp_path) == []


async def test_nobody_there_is_a_sentence(datasets: Datasets) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MaterialError, match="could not be reached, 3 times"):
        await datasets.ensure("rows", f"http://127.0.0.1:{port}/rows", None)


async def test_what_is_too_large_ends_early(datasets: Datasets, site: Site, tmp_path: Path) -> None:
    told = site.answer("/told", 200, content_length=str(1 << 40))

    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"\0" * 65536)
        except OSError:
            pass

    site.paths["/endless"] = endless
    (tmp_path / "large").write_bytes(b"\0" * ((1 << 20) + 1))
    for source in (told, site.url + "/endless", str(tmp_path / "large")):
        with pytest.raises(MaterialError, match="larger than 1 MB, the most that dataset_max_gb allows"):
            await datasets.ensure("rows", source, None)
    assert leftovers(tmp_path) == []


async def test_a_disk_without_room_is_a_sentence(tmp_path: Path, site: Site) -> None:
    background = Background()
    (tmp_path / "datasets").mkdir()
    full = Datasets(tmp_path / "datasets", replace(TERMS, keep_free_bytes=1 << 60), background)
    (tmp_path / "rows.csv").write_bytes(ROWS)
    for source in (str(tmp_path / "rows.csv"), site.serve("/rows.csv", ROWS)):
        with pytest.raises(MaterialError, match="no room for it"):
            await full.ensure("rows", source, None)
    background.close()


async def test_cancelling_a_download_ends_it_at_once_and_the_next_one_goes_on(
    datasets: Datasets, site: Site, tmp_path: Path
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(ROWS)))
        request.end_headers()
        request.wfile.write(ROWS[:100])
        request.wfile.flush()
        started.set()
        go_on.wait(20)

    site.paths["/rows.csv"] = slow
    url = site.url + "/rows.csv"
    first = asyncio.create_task(datasets.ensure("rows", url, sha(ROWS)))
    second = asyncio.create_task(datasets.ensure("rows", url, sha(ROWS)))
    assert await asyncio.to_thread(started.wait, 20)
    site.serve("/rows.csv", ROWS)
    first.cancel()
    async with asyncio.timeout(3):
        with pytest.raises(asyncio.CancelledError):
            await first
    assert (await second).read_bytes() == ROWS
    assert leftovers(tmp_path) == []
    go_on.set()


@pytest.mark.parametrize(("what", "words"), [("nothing", "does not exist"), ("pipe", "neither a file nor a folder")])
async def test_a_source_that_is_none_is_named(datasets: Datasets, tmp_path: Path, what: str, words: str) -> None:
    if what == "pipe":
        os.mkfifo(tmp_path / what)
    with pytest.raises(MaterialError, match=words):
        await datasets.ensure("rows", str(tmp_path / what), None)


@pytest.mark.parametrize(
    "source",
    [
        "relative/path",
        "~/rows",
        "ftp://host/rows",
        "file://other/rows",
        "http:///rows",
        "s3://bucket",
        "a\0b",
        "http://[::1",
    ],
)
def test_a_source_of_no_known_kind_is_refused(source: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(source, "dataset_specs.0.source")
    assert caught.value.field == "dataset_specs.0.source"


async def test_a_name_stands_for_what_was_last_fetched_under_it(datasets: Datasets, tmp_path: Path) -> None:
    assert datasets.named("rows") is None
    (tmp_path / "one").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"two")
    await datasets.ensure("rows", str(tmp_path / "one"), None)
    await datasets.ensure("rows", str(tmp_path / "two"), None)
    known = datasets.named("rows")
    assert known is not None
    assert known[1] == sha(b"two")


async def test_what_a_person_puts_under_a_name_stays(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "datasets" / "named").mkdir()
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "datasets" / "named" / "rows").symlink_to(tmp_path / "mine")
    (tmp_path / "one").write_bytes(b"one")
    await datasets.ensure("rows", str(tmp_path / "one"), None)
    known = datasets.named("rows")
    assert known is not None
    source, digest = known
    assert digest is None
    assert (await datasets.ensure("rows", source, None)).read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "unknown"])
def test_a_name_never_leads_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "datasets" / "named" / "a" / "b").mkdir(parents=True)
    (tmp_path / "datasets" / "x").mkdir()
    background = Background()
    assert Datasets(tmp_path / "datasets", TERMS, background).named(name) is None
    background.close()


async def test_leftovers_of_an_interrupted_engine_go_at_boot(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "datasets" / ".partial" / "half").mkdir(parents=True)
    datasets.clean()
    assert leftovers(tmp_path) == []
