"""Files and their ranges, read back over HTTP."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from engine.api.errors import Refusal
from engine.api.files import _wanted, file_reply

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def asking(tmp_path: Path) -> httpx.AsyncClient:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "model.bin").write_bytes(CONTENT)
    (folder / "empty").touch()
    (tmp_path / "secret").write_text("not yours")
    (folder / "way-out").symlink_to(tmp_path / "secret")
    app = FastAPI()

    @app.get("/{name:path}")
    async def get(request: Request, name: str) -> Response:
        try:
            return await file_reply(request, folder, name, "application/octet-stream")
        except Refusal as refusal:
            return refusal.response("trace")

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine")


async def test_a_whole_file(asking: httpx.AsyncClient) -> None:
    answer = await asking.get("/model.bin")
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert "model.bin" in answer.headers["content-disposition"]


async def test_an_empty_file(asking: httpx.AsyncClient) -> None:
    answer = await asking.get("/empty")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=100-", CONTENT[100:]),
        ("bytes=-7", CONTENT[-7:]),
        (f"bytes=10-{len(CONTENT) * 2}", CONTENT[10:]),
        (f"bytes=-{len(CONTENT) * 2}", CONTENT),
    ],
)
async def test_a_range(asking: httpx.AsyncClient, wanted: str, expected: bytes) -> None:
    answer = await asking.get("/model.bin", headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == expected
    first = len(CONTENT) - len(expected) if not wanted.startswith("bytes=0") else 0
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("wanted", [f"bytes={len(CONTENT)}-", "bytes=-0"])
async def test_a_range_past_the_end_says_how_much_there_is(asking: httpx.AsyncClient, wanted: str) -> None:
    answer = await asking.get("/model.bin", headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert str(len(CONTENT)) in answer.json()["error"]


@pytest.mark.parametrize(
    "wanted", ["bytes=" + "9" * 5000 + "-", "bytes=9-2", "bytes=-", "lines=1-2", "bytes=0-1,4-5", "nonsense"]
)
async def test_what_is_no_single_range_gets_the_whole_file(asking: httpx.AsyncClient, wanted: str) -> None:
    answer = await asking.get("/model.bin", headers={"Range": wanted})
    assert (answer.status_code, len(answer.content)) == (200, len(CONTENT))


@pytest.mark.parametrize("name", ["way-out", "../secret", "%2e%2e/secret", "gone", "."])
async def test_nothing_outside_of_the_folder_is_served(asking: httpx.AsyncClient, name: str) -> None:
    answer = await asking.get(f"/{name}")
    assert answer.status_code == 404
    assert b"not yours" not in answer.content


@given(st.binary(max_size=40))
async def test_any_range_header_is_answered(wanted: bytes) -> None:
    try:
        found = _wanted(wanted.decode("latin-1"), 1000)
    except Refusal as refusal:
        found = None
        status = refusal.http_status
    else:
        status = 206
    assert status in {206, 416}
    assert found is None or 0 <= found[0] < found[1] <= 1000
