"""Keeper and engine are killed at bad moments: what ran goes on, is told how it ended, and nothing runs twice."""

import asyncio
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.executors.base import AttemptKey
from engine.executors.keeper import journal, processes, tree
from engine.executors.keeper.journal import Attempt
from engine.settings import Home
from tests.keeping import PYTHON, Shop, alive, end_keeper, opened, true

pytestmark = pytest.mark.chaos


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(tmp_path / "home") as shop:
        yield shop
    await end_keeper(tmp_path / "home")


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


COUNT = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); [ $((i % 50)) -eq 0 ] && sleep 0.02; done; exit 7"
LINES = "".join(f"line {number}\n" for number in range(300))


class TestKeeperKilled:
    async def test_output_and_exit_code_survive(self, shop: Shop) -> None:
        key = shop.start(["sh", "-c", COUNT])
        await shop.said(key, "line 60\n")

        shop.kill_keeper()

        assert (await shop.ended(key)).exit_code == 7
        assert shop.output(key) == LINES
        assert len(shop.starts(key)) == 1

    async def test_it_may_be_killed_again_and_again(self, shop: Shop, mark: str, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        key = shop.start(["sh", "-c", f"until [ -e {gate} ]; do sleep 0.01; done; exit 7"], MARK=mark)
        await shop.started(key)
        for round_number in range(3):
            shop.kill_keeper()
            assert (await shop.ended(shop.start(["true"], f"after{round_number}"))).exit_code == 0
        gate.touch()

        assert (await shop.ended(key)).exit_code == 7
        assert len(alive(mark)) == 0

    async def test_an_end_while_no_keeper_watches_is_told(self, shop: Shop, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        key = shop.start(["sh", "-c", f"until [ -e {gate} ]; do :; done; exit 7"])
        await shop.started(key)

        shop.kill_keeper()
        gate.touch()

        assert (await shop.ended(key)).exit_code == 7

    async def test_cancel_reaches_what_a_dead_keeper_started(self, shop: Shop, mark: str) -> None:
        script = "(setsid sh -c 'trap \"\" TERM; sleep 60 & wait' &); trap '' TERM; echo up; sleep 60 & wait; wait"
        key = shop.start(["sh", "-c", script], MARK=mark)
        await shop.said(key, "up")

        shop.kill_keeper()
        shop.executor.cancel(key, 0.2)

        assert (await shop.ended(key)).signal == signal.SIGKILL
        assert not alive(mark)

    async def test_a_cancel_goes_on_where_the_keeper_died(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sh", "-c", "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done"], MARK=mark)
        await shop.said(key, "up")
        shop.executor.cancel(key, 0.5)
        await shop.said(key, "asked")

        shop.kill_keeper()

        assert (await shop.ended(key)).signal == signal.SIGKILL
        assert not alive(mark)

    async def test_leftovers_of_what_a_dead_keeper_started_go(self, shop: Shop, mark: str, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        script = f"(setsid sleep 60 &); sleep 61 & echo up; until [ -e {gate} ]; do sleep 0.01; done; exit 5"
        key = shop.start(["sh", "-c", script], MARK=mark)
        await shop.said(key, "up")

        shop.kill_keeper()
        gate.touch()

        assert (await shop.ended(key)).exit_code == 5
        assert not alive(mark)

    async def test_at_random_moments_nothing_is_lost_and_nothing_runs_twice(self, shop: Shop) -> None:
        seed = random.randrange(1 << 30)
        dice = random.Random(seed)
        total, kills = 300, 10
        ran = shop.home.root / "ran"
        keys = []
        for number in range(total):
            keys.append(shop.start(["sh", "-c", f"echo {number} >> {ran}"], f"t{number}"))
            if number % (total // kills) == total // kills - 1:
                await asyncio.sleep(dice.random() * 0.03)
                shop.kill_keeper()
                await true(lambda: shop.executor.keeper_pid is None)
                await true(lambda: shop.executor.keeper_pid is not None)
        ends = {key: await shop.ended(key) for key in keys}

        times = [int(line) for line in ran.read_text().split()]
        assert len(times) == len(set(times)), f"seed {seed}"
        for number, key in enumerate(keys):
            end = ends[key]
            assert len(shop.ends(key)) == 1
            assert end.refused is None, f"seed {seed}: {end}"
            # Done and told so; or its end is unknown and said to be.
            assert (end.exit_code == 0 and number in times) or end.lost, f"seed {seed}: {end}"
        assert sum(end.lost is not None for end in ends.values()) <= kills * 4, f"seed {seed}"


ENGINE = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {path!r}
from tests.keeping import Shop

async def main():
    shop = Shop(Path({root!r}))
    await shop.open()
    await shop.executor.adopt([])
    for name, command in {tasks!r}:
        shop.start(["sh", "-c", command], name)
    print(shop.executor.keeper_pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def killed_engine(root: Path, tasks: list[tuple[str, str]], *wait_for: Path) -> int:
    """A real engine's process that launches the tasks and is killed once the files are there; returns its keeper."""
    code = ENGINE.format(path=sys.path, root=str(root), tasks=tasks)
    process = await asyncio.create_subprocess_exec(PYTHON, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    keeper = int(await process.stdout.readline())
    await true(lambda: all(path.exists() for path in wait_for))
    process.kill()
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # else it is closed after the loop is
    return keeper


class TestBothKilled:
    async def test_a_new_engine_and_a_new_keeper_take_over(self, tmp_path: Path) -> None:
        root, gate, up = tmp_path / "home", tmp_path / "gate", tmp_path / "up"
        runs, over = AttemptKey("runs", 1), AttemptKey("over", 1)
        tasks = [
            ("over", "exit 6"),
            ("runs", f"echo first; touch {up}; until [ -e {gate} ]; do sleep 0.01; done; echo last; exit 7"),
        ]
        journal_path = Home(root).keeper_journal
        keeper = await killed_engine(root, tasks, up)
        await true(lambda: b"E\tover#1" in journal_path.read_bytes())
        os.kill(keeper, signal.SIGKILL)

        async with opened(root) as shop:
            assert await shop.executor.adopt([runs, over, AttemptKey("never", 1)]) == {runs, over}
            assert (await shop.ended(over)).exit_code == 6
            assert (await shop.started(runs)).pid is not None
            gate.touch()
            assert (await shop.ended(runs)).exit_code == 7
            assert shop.output(runs) == "first\nlast\n"
        await end_keeper(root)

    async def test_what_ended_while_nobody_watched_is_lost_and_says_so(self, tmp_path: Path) -> None:
        root, gate, up, done = (tmp_path / name for name in ("home", "gate", "up", "done"))
        key = AttemptKey("runs", 1)
        tasks = [("runs", f"touch {up}; until [ -e {gate} ]; do sleep 0.01; done; touch {done}")]
        keeper = await killed_engine(root, tasks, up)
        os.kill(keeper, signal.SIGKILL)
        attempt = journal.read(Home(root).keeper_journal.read_bytes())["runs#1"]
        gate.touch()
        await true(lambda: processes.look(attempt.pid) is None)

        async with opened(root) as shop:
            assert await shop.executor.adopt([key]) == {key}
            lost = (await shop.ended(key)).lost
            assert lost is not None
            assert "the keeper was killed while it ran" in lost
        await end_keeper(root)


class TestJournalAlone:
    """A keeper that finds a journal whose writer died at a certain line."""

    def write(self, home: Home, *lines: bytes, boot: str | None = None) -> None:
        home.create()
        home.keeper_journal.write_bytes(b"".join(lines))
        (home.root / "keeper.lock").write_text((boot or processes.boot_id()) + "\n")

    async def test_a_start_that_was_not_written_is_found_by_its_cookie(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        output = tmp_path / "output.log"
        self.write(home, journal.intent(Attempt("t1#1", str(output))))
        environment = {**os.environ, tree.ATTEMPT: "t1#1", tree.KEEPER: tree.home_tag(str(home.root))}
        process = await asyncio.create_subprocess_exec("sleep", "60", env=environment, start_new_session=True)

        async with opened(home.root) as shop:
            key = AttemptKey("t1", 1)
            assert await shop.executor.adopt([key]) == {key}
            assert (await shop.started(key)).pid == process.pid
            shop.executor.cancel(key, 5)
            await shop.ended(key)
            assert await process.wait() == -signal.SIGTERM
        await end_keeper(home.root)

    async def test_an_intent_that_came_to_nothing_is_not_known(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        self.write(home, journal.intent(Attempt("t1#1", str(tmp_path / "never-made"))))
        async with opened(home.root) as shop:
            assert await shop.executor.adopt([AttemptKey("t1", 1)]) == set()
        await end_keeper(home.root)

    async def test_an_intent_that_may_have_run_is_lost(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        output = tmp_path / "output.log"
        output.touch()
        self.write(home, journal.intent(Attempt("t1#1", str(output))))
        async with opened(home.root) as shop:
            key = AttemptKey("t1", 1)
            assert await shop.executor.adopt([key]) == {key}
            assert (await shop.ended(key)).lost == "the keeper was killed while it was starting this attempt"
        await end_keeper(home.root)

    async def test_a_pid_that_came_round_again_is_not_taken_for_the_task(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        bystander = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
        attempt = Attempt("t1#1", str(tmp_path / "output.log"))
        attempt.pid, attempt.born_from, attempt.born_by, attempt.started_at = bystander.pid, 5, 6, 1.0
        self.write(home, journal.intent(attempt), journal.start(attempt))

        async with opened(home.root) as shop:
            key = AttemptKey("t1", 1)
            await shop.executor.adopt([key])
            shop.executor.cancel(key, 0)
            assert (await shop.ended(key)).lost is not None
            assert bystander.returncode is None
        bystander.kill()
        await bystander.wait()
        await end_keeper(home.root)

    async def test_after_a_restart_of_the_machine_all_that_ran_is_lost(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "home")
        ran, over = Attempt("ran#1", "/out"), Attempt("over#1", "/out")
        ran.pid, ran.born_from, ran.born_by, ran.started_at = 1, 0, 1 << 40, 1.0
        over.outcome = (2.0, 6, None, None, None)
        lines = [journal.intent(ran), journal.start(ran), journal.intent(over), journal.end(over, whole=True)]
        self.write(home, *lines, boot="00000000-0000-0000-0000-000000000000")
        keys = [AttemptKey("ran", 1), AttemptKey("over", 1), AttemptKey("unwritten", 1)]

        async with opened(home.root) as shop:
            assert await shop.executor.adopt(keys) == set(keys)
            assert (await shop.ended(keys[0])).lost == "the machine restarted while it ran"
            assert (await shop.ended(keys[1])).exit_code == 6
            assert (await shop.ended(keys[2])).lost == "the machine restarted while it ran"
            shop.executor.forget(keys)
        async with opened(home.root) as again:
            assert await again.executor.adopt([AttemptKey("fresh", 1)]) == set()
        await end_keeper(home.root)
