"""What is printed is read in windows, followed as it grows, and deleted when it is old."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.output import LARGEST, Output, Window
from engine.output.window import end_of, read
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.writer import Transaction, Writer

texts = st.text(st.sampled_from("aé€😀\n"), max_size=60).map(str.encode)
anything = st.one_of(texts, st.binary(max_size=60), st.lists(st.one_of(texts, st.binary(max_size=3))).map(b"".join))
limits = st.integers(min_value=4, max_value=40)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "output.log"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def windows(path: Path, limit: int) -> Iterator[Window]:
    offset = 0
    while (window := read(path, offset, limit, final=True)).next_offset > offset:
        yield window
        offset = window.next_offset


class TestWindows:
    @given(data=anything, limit=limits)
    def test_one_after_the_other_they_are_the_whole(self, file: Path, data: bytes, limit: int) -> None:
        file.write_bytes(data)
        parts = list(windows(file, limit))

        assert "".join(part.text for part in parts) == data.decode("utf-8", "replace")
        assert [part.offset for part in parts[1:]] == [part.next_offset for part in parts[:-1]]
        assert sum(part.next_offset - part.offset for part in parts) == len(data)
        assert all(part.next_offset - part.offset <= limit for part in parts)

    @given(data=texts, offset=st.integers(min_value=0, max_value=80), limit=limits)
    def test_from_any_offset_no_character_is_broken(self, file: Path, data: bytes, offset: int, limit: int) -> None:
        file.write_bytes(data)
        window = read(file, offset, limit, final=False)

        assert "�" not in window.text
        assert data[window.offset : window.next_offset] == window.text.encode()
        assert offset <= window.offset <= offset + 3

    @given(data=texts, cut=st.integers(min_value=0), limit=limits)
    def test_an_unfinished_character_waits_for_its_rest(self, file: Path, data: bytes, cut: int, limit: int) -> None:
        cut %= len(data) + 1
        file.write_bytes(data[:cut])
        text, offset = "", 0
        while (window := read(file, offset, limit, final=False)).next_offset > offset:
            text, offset = text + window.text, window.next_offset
        file.write_bytes(data)
        text += "".join(part.text for part in [read(file, offset, LARGEST, final=True)])

        assert text == data.decode()

    @given(data=anything, limit=limits)
    def test_the_tail_starts_on_a_line_if_it_has_one(self, file: Path, data: bytes, limit: int) -> None:
        file.write_bytes(data)
        tail = end_of(file, limit, final=True)

        assert tail.next_offset == len(data) == tail.size
        assert len(data) - tail.offset <= limit
        assert tail.text == data[tail.offset :].decode("utf-8", "replace")
        last = data[-limit - 1 :]
        if len(data) > limit and b"\n" in last[:-1]:
            assert data[tail.offset - 1 : tail.offset] == b"\n"

    async def test_a_file_that_is_not_there_is_empty(self, home: Home) -> None:
        output = Output(home)
        assert output.size("t", 1) == 0
        assert await output.window("t", 1, 5) == Window(5, 5, 0, "")
        assert await output.tail("t", 1) == Window(0, 0, 0, "")
        assert await output.last_text("t", 1) == ""

    async def test_beyond_the_end_is_empty_and_tells_the_size(self, home: Home) -> None:
        output = printed(home, "t", 1, b"abc")
        assert await output.window("t", 1, 10) == Window(10, 10, 3, "")

    async def test_a_window_is_never_larger_than_the_limit(self, home: Home) -> None:
        output = printed(home, "t", 1, b"x" * (3 << 20))
        window = await output.window("t", 1, 0, 1 << 30)
        assert window.next_offset == LARGEST


def printed(home: Home, task_id: str, attempt: int, data: bytes) -> Output:
    output = Output(home)
    path = output.path(task_id, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return output


class Follower:
    """Follows an output in the background."""

    def __init__(self, output: Output, offset: int = 0) -> None:
        self.text = ""
        self.windows: list[Window] = []
        self.ended = asyncio.Event()
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._follow(output.follow("t", 1, offset, self.ended)))

    async def _follow(self, windows: AsyncIterator[Window]) -> None:
        async for window in windows:
            self.windows.append(window)
            self.text += window.text
            self._news.set()

    async def has(self, text: str) -> None:
        async with asyncio.timeout(10):
            while self.text != text:
                self._news.clear()
                await self._news.wait()

    async def end(self) -> str:
        self.ended.set()
        await asyncio.wait_for(self._task, 10)
        return self.text

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


class TestFollowing:
    async def test_what_is_there_and_what_comes(self, home: Home) -> None:
        output = printed(home, "t", 1, b"one\n")
        follower = Follower(output)
        await follower.has("one\n")
        with output.path("t", 1).open("ab") as file:
            file.write(b"two\n")
            file.flush()
            await follower.has("one\ntwo\n")
            file.write(b"three\n")

        assert await follower.end() == "one\ntwo\nthree\n"

    async def test_from_an_offset_on(self, home: Home) -> None:
        follower = Follower(printed(home, "t", 1, b"one\ntwo\n"), 4)
        assert await follower.end() == "two\n"

    @pytest.mark.parametrize("made", ["nothing", "task", "attempt"])
    async def test_a_file_that_is_not_there_yet(self, home: Home, made: str) -> None:
        output = Output(home)
        folder = output.path("t", 1).parent
        {"nothing": home.tasks, "task": folder.parent, "attempt": folder}[made].mkdir(exist_ok=True, parents=True)
        follower = Follower(output)
        await asyncio.sleep(0)
        folder.mkdir(parents=True, exist_ok=True)
        await asyncio.sleep(0.05)
        output.path("t", 1).write_bytes(b"hello\n")
        await follower.has("hello\n")
        assert await follower.end() == "hello\n"

    async def test_it_ends_without_any_output(self, home: Home) -> None:
        follower = Follower(Output(home))
        await asyncio.sleep(0)
        assert await follower.end() == ""

    async def test_a_character_printed_in_two_pieces_is_one(self, home: Home) -> None:
        output = printed(home, "t", 1, b"a\xe2\x82")
        follower = Follower(output)
        await follower.has("a")
        with output.path("t", 1).open("ab") as file:
            file.write(b"\xac")
        await follower.has("a€")
        assert await follower.end() == "a€"

    async def test_a_character_that_stays_unfinished_is_shown_at_the_end(self, home: Home) -> None:
        follower = Follower(printed(home, "t", 1, b"a\xe2\x82"))
        await follower.has("a")
        assert await follower.end() == "a\ufffd"

    async def test_all_of_what_a_fast_writer_prints(self, home: Home) -> None:
        output = printed(home, "t", 1, b"")
        follower = Follower(output)
        lines = "".join(f"line {number}\n" for number in range(200_000))
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f"seq -f 'line %.0f' 0 199999 >> {output.path('t', 1)}"
        )
        await process.wait()
        assert await follower.end() == lines
        assert max(len(window.text) for window in follower.windows) <= 65536

    async def test_many_followers_share_one_inotify_and_leave_none(self, home: Home) -> None:
        before = _inotifies()
        output = printed(home, "t", 1, b"one\n")
        followers = [Follower(output) for _ in range(200)]
        for follower in followers:
            await follower.has("one\n")
        assert _inotifies() == before + 1
        with output.path("t", 1).open("ab") as file:
            file.write(b"two\n")
        for follower in followers:
            await follower.has("one\ntwo\n")
        for follower in followers[:100]:
            await follower.cancel()
        for follower in followers[100:]:
            await follower.end()
        assert _inotifies() == before


def _inotifies() -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(descriptor.readlink()) == "anon_inode:inotify"
    return found


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    database = Database.open(f"sqlite:///{tmp_path}/shopfloor.db")
    writer = Writer(database, lambda events: None)
    writer.start()
    yield writer
    writer.close()
    database.close()


class TestRetention:
    """Three ended attempts, 10, 5 and 1 days old, and one that runs for 20 days."""

    AGES = ("a", 10.0), ("b", 5.0), ("c", 1.0)

    async def fill(self, home: Home, writer: Writer, size: int = 100) -> Output:
        now = time.time()

        def rows(tx: Transaction) -> None:
            for task_id, days in self.AGES:
                tx.execute(
                    "INSERT INTO attempts (task_id, number, worker_id, claimed_at, ended_at, gpu_ids)"
                    " VALUES (:id, 1, 'w', 1, :at, '[]')",
                    {"id": task_id, "at": now - days * 86400},
                )
            tx.execute(
                "INSERT INTO attempts (task_id, number, worker_id, claimed_at, gpu_ids)"
                " VALUES ('live', 1, 'w', :at, '[]')",
                {"at": now - 20 * 86400},
            )

        await writer.run(rows)
        for task_id in ("a", "b", "c", "live"):
            printed(home, task_id, 1, b"x" * size)
        return Output(home)

    def left(self, home: Home) -> set[str]:
        return {path.parts[-3] for path in home.tasks.glob("*/*/output.log")}

    async def test_what_is_too_old_goes(self, home: Home, writer: Writer) -> None:
        output = await self.fill(home, writer)
        assert await output.prune(Settings(output_keep_days=3), writer) == [("a", 1), ("b", 1)]
        assert self.left(home) == {"c", "live"}
        assert await output.prune(Settings(output_keep_days=3), writer) == []

    async def test_the_folder_it_ran_in_goes_and_what_it_left_stays(self, home: Home, writer: Writer) -> None:
        output = await self.fill(home, writer)
        copied = home.attempt("a", 1) / "work" / "package"
        kept = home.attempt("a", 1) / "out" / "model.bin"
        for file in (copied / "train.py", kept):
            file.parent.mkdir(parents=True)
            file.write_text("x")
        copied.chmod(0o500)
        await output.prune(Settings(output_keep_days=3), writer)
        assert not (home.attempt("a", 1) / "work").exists()
        assert kept.exists()

    async def test_of_too_much_the_oldest_goes(self, home: Home, writer: Writer) -> None:
        output = await self.fill(home, writer)
        kept = Settings(output_keep_days=0, output_keep_gb=250e-9)
        assert await output.prune(kept, writer) == [("a", 1), ("b", 1)]
        assert self.left(home) == {"c", "live"}

    async def test_what_runs_is_never_deleted(self, home: Home, writer: Writer) -> None:
        output = await self.fill(home, writer)
        kept = Settings(output_keep_days=0.1, output_keep_gb=1e-9)
        assert await output.prune(kept, writer) == [("a", 1), ("b", 1), ("c", 1)]
        assert self.left(home) == {"live"}

    async def test_without_limits_all_is_kept(self, home: Home, writer: Writer) -> None:
        output = await self.fill(home, writer)
        assert await output.prune(Settings(output_keep_days=0, output_keep_gb=0), writer) == []
        assert self.left(home) == {"a", "b", "c", "live"}

    async def test_the_store_is_told_when(self, home: Home, writer: Writer) -> None:
        output = await self.fill(home, writer)
        before = time.time()
        await output.prune(Settings(output_keep_days=3), writer)
        sql = "SELECT task_id, output_pruned_at FROM attempts WHERE output_pruned_at IS NOT NULL ORDER BY task_id"
        rows = await writer.run(lambda tx: tx.rows(sql))
        assert [task_id for task_id, _ in rows] == ["a", "b"]
        assert all(before <= at <= time.time() for _, at in rows)
