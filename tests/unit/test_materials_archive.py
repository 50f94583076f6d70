"""Archives from outside: whatever they hold, nothing lands outside and nothing grows without end."""

import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.materials.archive import safe_path, unpack
from engine.materials.background import Stop, Stopped
from engine.materials.errors import InvalidInput
from engine.materials.snapshots import Snapshots
from engine.materials.trees import Limits

LIMITS = Limits(100, 1 << 20)


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    return info, content


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    def attempt(*members: tuple[tarfile.TarInfo, bytes], limits: Limits = LIMITS) -> str:
        archive = pack(tmp_path / "in.tar.gz", *members)
        with pytest.raises(InvalidInput) as caught:
            unpack(archive, tmp_path / f"out{len(list(tmp_path.iterdir()))}", limits, Stop())
        assert caught.value.field == "archive"
        return str(caught.value)

    return attempt


def test_a_folder_comes_through_whole(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    (folder / "train.py").write_text("print()\n")
    (folder / "train.py").chmod(0o750)
    (folder / "lib" / "link").symlink_to("../train.py")
    os.link(folder / "train.py", folder / "lib" / "twin.py")
    (folder / "data.ckpt").write_text("weights")
    (folder / ".gitignore").write_text("*.ckpt\n")
    (tmp_path / "home").mkdir()
    snapshots = Snapshots(tmp_path / "home", home=tmp_path / "home")
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    assert snapshots.store_archive(tmp_path / "in.tar.gz", Stop()).id == snapshots.store(folder, Stop()).id


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "./../x"])
def test_a_path_that_climbs_out_is_refused(refused: Callable[..., str], name: str) -> None:
    assert "outside" in refused(member(name, b"x"))


def test_nothing_is_written_through_a_link(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    words = refused(
        member("lib", kind=tarfile.SYMTYPE, link=str(tmp_path / "victim")),
        member("lib/x", b"evil"),
    )
    assert "which is no folder" in words
    assert not list((tmp_path / "victim").iterdir())


def test_links_out_are_left_out(tmp_path: Path) -> None:
    archive = pack(
        tmp_path / "in.tar.gz",
        member("out", kind=tarfile.SYMTYPE, link="../../secret"),
        member("root", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("train.py", b"x"),
    )
    (tmp_path / "home").mkdir()
    snapshots = Snapshots(tmp_path / "home", home=tmp_path / "home")
    stored = snapshots.store_archive(archive, Stop())
    assert [entry.path for entry in snapshots.manifest(stored.id).entries] == ["train.py"]
    assert len(stored.notes) == 2


@pytest.mark.parametrize("link", ["../victim", "/etc/passwd", "missing", "later"])
def test_a_second_name_of_what_is_not_in_it_is_refused(refused: Callable[..., str], link: str) -> None:
    refused(member("twin", kind=tarfile.LNKTYPE, link=link), member("later", b"x"))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused_by_name(refused: Callable[..., str], kind: bytes) -> None:
    assert "'dev'" in refused(member("dev", kind=kind))


def test_the_same_path_twice_is_refused(refused: Callable[..., str]) -> None:
    assert "twice" in refused(member("a", b"1"), member("./a", b"2"))


def test_too_many_members_and_too_many_bytes_end_early(refused: Callable[..., str]) -> None:
    assert "holds more than" in refused(*(member(f"f{n}") for n in range(101)))
    assert "holds more than" in refused(member("big", b"\0" * (2 << 20)))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "in.tar.gz"
    info = tarfile.TarInfo("big")
    info.size = 1 << 40
    with gzip.open(archive, "wb") as stream:
        stream.write(info.tobuf())
        for _ in range(64):
            stream.write(b"\0" * (1 << 20))
    with pytest.raises(InvalidInput, match="holds more than"):
        unpack(archive, tmp_path / "out", LIMITS, Stop())
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) == 0


def test_a_header_that_is_too_large_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x" * 90)
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    archive = tmp_path / "in.tar.gz"
    with gzip.open(archive, "wb") as stream:
        stream.write(info.tobuf() + b"\0" * 4096)
    with pytest.raises(InvalidInput, match="header"):
        unpack(archive, tmp_path / "out", LIMITS, Stop())


@pytest.mark.parametrize("content", [b"", b"not an archive", gzip.compress(b"not a tar" * 100), gzip.compress(b"")[:9]])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.tar.gz").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"not a whole \.tar\.gz"):
        unpack(tmp_path / "in.tar.gz", tmp_path / "out", LIMITS, Stop())


def test_an_archive_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "in.tar.gz", member("a", os.urandom(100_000)))
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(InvalidInput):
        unpack(archive, tmp_path / "out", LIMITS, Stop())


def test_stopping_ends_it(tmp_path: Path) -> None:
    archive = pack(tmp_path / "in.tar.gz", member("a", b"x"))
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped):
        unpack(archive, tmp_path / "out", LIMITS, stop)


names = st.lists(st.sampled_from(["..", ".", "", "a", "b", "~", "c:", "\\", "é", "a\0"]), max_size=5).map("/".join)


@given(st.booleans(), names)
def test_a_path_is_refused_or_stays_below(absolute: bool, name: str) -> None:
    name = "/" * absolute + name
    try:
        path = safe_path(name)
    except InvalidInput:
        return
    assert not absolute
    landed = os.path.normpath(f"/target/{path}")
    assert landed == "/target" or landed.startswith("/target/")


kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
members = st.lists(st.builds(member, names, st.binary(max_size=5), kinds, names, st.integers(0, 0o7777)), max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_members=members)
def test_whatever_an_archive_holds_lands_inside_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, given_members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("archive")
    (root / "beside").write_text("untouched")
    for info, content in given_members:
        info.size = len(content) if info.isreg() else 0
    archive = pack(root / "in.tar.gz", *given_members)
    with contextlib.suppress(InvalidInput):
        unpack(archive, root / "out", LIMITS, Stop())
    assert {path.name for path in root.iterdir()} == {"beside", "in.tar.gz", "out"}
    assert (root / "beside").read_text() == "untouched"
