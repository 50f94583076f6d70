"""What the scheduler gets from the process executor, with real processes."""

import asyncio
import os
import resource
import signal
import socket
import stat
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.executors import keeper_client
from engine.executors.base import AttemptKey, Ended
from tests.keeping import Shop, alive, end_keeper, gone, opened, status_kb, true


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened(tmp_path / "home") as shop:
        yield shop
    await end_keeper(tmp_path / "home")


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


class TestRunning:
    async def test_a_command_runs_and_its_output_stands_in_its_file(self, shop: Shop) -> None:
        key = shop.start(["sh", "-c", "echo out; echo err >&2; exit 3"])

        ended = await shop.ended(key)

        assert (ended.exit_code, ended.signal, ended.lost, ended.refused) == (3, None, None, None)
        assert shop.output(key) == "out\nerr\n"
        (started,) = shop.starts(key)
        assert started.pid is not None
        assert started.at <= ended.at

    async def test_the_signal_that_ended_a_command_is_told(self, shop: Shop) -> None:
        ended = await shop.ended(shop.start(["sh", "-c", "kill -SEGV $$"]))

        assert (ended.exit_code, ended.signal) == (None, signal.SIGSEGV)

    async def test_a_start_is_told_while_it_runs(self, shop: Shop) -> None:
        key = shop.start(["sleep", "60"], MARK="a start is told")

        started = await shop.started(key)

        assert alive("a start is told") == [started.pid]
        assert not shop.ends(key)

    async def test_a_key_is_started_once(self, shop: Shop) -> None:
        launch = shop.make(["sh", "-c", "echo ran"])
        shop.executor.launch([launch, launch])
        await shop.ended(launch.key)
        shop.executor.launch([launch])
        other = shop.start(["true"], "t2")
        await shop.ended(other)

        assert shop.output(launch.key) == "ran\n"
        assert len(shop.ends(launch.key)) == 1

    async def test_nothing_is_inherited(self, shop: Shop) -> None:
        key = shop.start(["env"], ONE="1")
        await shop.ended(key)
        names = sorted(line.partition("=")[0] for line in shop.output(key).splitlines())
        assert names == ["ONE", "PATH", "SHOPFLOOR_ATTEMPT", "SHOPFLOOR_KEEPER"]

        key = shop.start(["ls", "/proc/self/fd"], "t2")
        await shop.ended(key)
        assert shop.output(key).split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads

        key = shop.start(["readlink", "/proc/self/fd/0"], "t3")
        await shop.ended(key)
        assert shop.output(key) == "/dev/null\n"

        key = shop.start(["grep", "-E", "SigBlk|SigIgn|^NSsid|^Pid", "/proc/self/status"], "t4")
        await shop.ended(key)
        facts = dict(line.split() for line in shop.output(key).splitlines())
        internal = 1 << 31 | 1 << 32  # glibc ignores its own two in whatever it spawns
        assert int(facts["SigBlk:"], 16) == int(facts["SigIgn:"], 16) & ~internal == 0
        assert facts["NSsid:"] == facts["Pid:"]

    async def test_a_long_home_path_is_no_obstacle(self, tmp_path: Path) -> None:
        root = tmp_path / ("x" * 120)
        async with opened(root) as shop:
            assert (await shop.ended(shop.start(["true"]))).exit_code == 0
        await end_keeper(root)

    async def test_only_the_owner_can_reach_the_keeper(self, shop: Shop) -> None:
        assert stat.S_IMODE(shop.home.keeper_socket.stat().st_mode) == 0o600

    async def test_much_output_does_not_grow_the_keeper(self, shop: Shop) -> None:
        key = shop.start(["head", "-c", "300M", "/dev/zero"])
        assert (await shop.ended(key)).exit_code == 0

        assert status_kb(shop.executor.keeper_pid, "VmHWM") < 16 * 1024
        assert (shop.home.attempt(*key) / "output.log").stat().st_size == 300 * 1024 * 1024
        (shop.home.attempt(*key) / "output.log").unlink()


class TestRefusing:
    async def refusal(self, shop: Shop, command: list[str], name: str = "t1") -> str:
        ended = await shop.ended(shop.start(command, name))
        assert ended.refused is not None
        assert (ended.exit_code, ended.signal, ended.lost) == (None, None, None)
        assert str(shop.home.root) not in ended.refused
        return ended.refused

    async def test_no_such_command(self, shop: Shop) -> None:
        assert await self.refusal(shop, ["no-such-thing"]) == "no command 'no-such-thing' on its PATH"
        assert await self.refusal(shop, ["./missing"], "t2") == "no command './missing'"

    async def test_what_is_not_executable(self, shop: Shop) -> None:
        folder = shop.make(["true"]).cwd
        (folder / "plain").write_text("echo hello\n")
        assert "can't be executed: Permission denied" in await self.refusal(shop, ["./plain"])

    async def test_a_script_without_its_first_line(self, shop: Shop) -> None:
        script = shop.make(["true"]).cwd / "script"
        script.write_text("echo hello\n")
        script.chmod(0o700)
        assert "needs a #! line" in await self.refusal(shop, ["./script"])

    async def test_a_script_whose_interpreter_is_missing(self, shop: Shop) -> None:
        script = shop.make(["true"]).cwd / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o700)
        assert "interpreter that './script' names" in await self.refusal(shop, ["./script"])

    async def test_a_working_folder_that_is_missing(self, shop: Shop) -> None:
        launch = shop.make(["true"])
        launch.cwd.rmdir()
        shop.executor.launch([launch])
        ended = await shop.ended(launch.key)
        assert ended.refused == "its working folder can't be used: No such file or directory"

    async def test_an_argument_that_no_process_can_get(self, shop: Shop) -> None:
        assert "can't be passed to a process" in await self.refusal(shop, ["echo", "a\0b"])

    async def test_more_arguments_than_the_machine_allows(self, shop: Shop) -> None:
        assert "longer than the machine allows" in await self.refusal(shop, ["echo", "x" * 3_000_000])


class TestCancelling:
    async def cancelled(self, shop: Shop, key: AttemptKey, grace_s: float = 5.0) -> Ended:
        shop.executor.cancel(key, grace_s)
        return await shop.ended(key)

    async def test_a_task_is_asked_to_end(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sh", "-c", "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.01; done"], MARK=mark)
        await shop.said(key, "up")

        ended = await self.cancelled(shop, key)

        assert ended.exit_code == 4
        assert shop.output(key).endswith("bye\n")
        assert not alive(mark)

    async def test_what_ignores_term_is_killed_after_the_grace(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"], MARK=mark)
        await shop.said(key, "up")

        ended = await self.cancelled(shop, key, 0.2)

        assert ended.signal == signal.SIGKILL
        assert not alive(mark)

    async def test_a_second_cancel_can_only_shorten_the_grace(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"], MARK=mark)
        await shop.said(key, "up")
        shop.executor.cancel(key, 3600)

        ended = await self.cancelled(shop, key, 0)

        assert ended.signal == signal.SIGKILL

    async def test_a_stopped_task_ends_too(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sh", "-c", "kill -STOP $$"], MARK=mark)
        await shop.started(key)

        ended = await self.cancelled(shop, key)

        assert ended.signal == signal.SIGTERM
        assert not alive(mark)

    async def test_daemons_of_a_task_go_with_it(self, shop: Shop, mark: str) -> None:
        # One that left the session, one that also gave up its environment while its parent lives, one of each orphaned.
        script = (
            "setsid sh -c 'trap \"\" TERM; sleep 61.1 & wait' &\n"
            "env -i setsid sleep 61.2 &\n"
            "(setsid sleep 61.3 &)\n"
            "(setsid sh -c 'setsid sleep 61.4 &' &)\n"
            "sleep 0.1; echo up; wait"
        )
        key = shop.start(["sh", "-c", script], MARK=mark)
        await shop.said(key, "up")
        assert len(alive(mark)) >= 4

        await self.cancelled(shop, key, 0.3)

        assert not alive(mark)
        assert not alive("61.2")

    async def test_a_brood_of_fifty_is_gone(self, shop: Shop, mark: str) -> None:
        # Each child brings forth another one for as long as it lives, and none of them heeds TERM.
        script = (
            "trap '' TERM\n"
            "breed() { trap '' TERM; while :; do sleep 0.05; [ $1 -gt 0 ] && breed $(($1 - 1)) & sleep 0.2; done; }\n"
            "i=0; while [ $i -lt 50 ]; do breed 0 & i=$((i+1)); done; echo up; wait"
        )
        key = shop.start(["sh", "-c", script], MARK=mark)
        await shop.said(key, "up")

        ended = await self.cancelled(shop, key, 0.1)

        assert ended.signal == signal.SIGKILL
        assert not alive(mark)

    async def test_what_waits_to_start_never_does(self, shop: Shop) -> None:
        launches = [shop.make(["sh", "-c", "echo ran"], f"t{number}") for number in range(40)]
        shop.executor.launch(launches)
        last = launches[-1].key
        ended = await self.cancelled(shop, last)

        assert ended.lost == "cancelled before it started"
        assert not (shop.home.attempt(*last) / "output.log").exists()
        for launch in launches[:-1]:
            assert (await shop.ended(launch.key)).exit_code == 0

    async def test_cancelling_what_is_unknown_reports_it_lost(self, shop: Shop) -> None:
        ended = await self.cancelled(shop, AttemptKey("never", 1))
        assert ended.lost == "the keeper has no record of it"

    async def test_cancelling_what_has_ended_changes_nothing(self, shop: Shop) -> None:
        key = shop.start(["true"])
        await shop.ended(key)
        shop.executor.cancel(key, 0)
        await shop.ended(shop.start(["true"], "t2"))
        assert [each.exit_code for each in shop.ends(key)] == [0]

    async def test_others_go_on(self, shop: Shop, mark: str) -> None:
        other = shop.start(["sleep", "60"], "t2", MARK=mark)
        await shop.started(other)
        key = shop.start(["sleep", "60"])
        await shop.started(key)

        await self.cancelled(shop, key)

        assert len(alive(mark)) == 1
        assert not shop.ends(other)


class TestLeftovers:
    async def test_children_left_behind_are_gone_when_the_end_is_told(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sh", "-c", "sleep 60 & (setsid sleep 61 &) ; exit 5"], MARK=mark)

        ended = await shop.ended(key)

        assert ended.exit_code == 5
        assert not alive(mark)

    async def test_a_daemon_of_a_running_task_is_left_alone_when_another_ends(self, shop: Shop, mark: str) -> None:
        first = shop.start(["sh", "-c", "(setsid sleep 60 &); echo up; sleep 60"], "t1", MARK=mark)
        await shop.said(first, "up")
        await shop.ended(shop.start(["true"], "t2"))
        await shop.ended(shop.start(["sh", "-c", "sleep 60 & exit 0"], "t3"))

        assert len(alive(mark)) == 3

    async def test_among_hundreds(self, shop: Shop, mark: str) -> None:
        others = [shop.make(["sleep", "60"], f"t{number}", MARK=mark) for number in range(700)]
        shop.executor.launch(others)
        await shop.until(lambda: len(shop.reports) == 700)
        left = uuid.uuid4().hex

        key = shop.start(["sh", "-c", "sleep 60 & (setsid sleep 61 &) ; exit 5"], "leaves", MARK=left)

        assert (await shop.ended(key)).exit_code == 5
        assert not alive(left)
        assert len(alive(mark)) == 700
        for launch in others:
            shop.executor.cancel(launch.key, 5)
        for launch in others:
            assert (await shop.ended(launch.key)).signal == signal.SIGTERM
        assert not alive(mark)


class TestAdopting:
    async def test_what_runs_and_what_ended_is_handed_over(self, shop: Shop, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        running = shop.start(["sh", "-c", f"until [ -e {gate} ]; do sleep 0.01; done; exit 7"], "runs")
        over = shop.start(["sh", "-c", "exit 6"], "over")
        committed = shop.start(["true"], "committed")
        await shop.started(running)
        await shop.ended(over)
        await shop.ended(committed)
        shop.executor.forget([committed])
        await shop.executor.close()

        async with opened(shop.home.root) as after:
            never = AttemptKey("never", 1)
            assert await after.executor.adopt([running, over, never, committed]) == {running, over}
            assert (await after.ended(over)).exit_code == 6
            assert (await after.started(running)).pid == shop.starts(running)[0].pid
            gate.touch()
            assert (await after.ended(running)).exit_code == 7

    async def test_nothing_is_reported_before_adopt(self, shop: Shop) -> None:
        key = shop.start(["true"])
        await shop.ended(key)
        await shop.executor.close()

        async with opened(shop.home.root) as after:
            await after.ended(after.start(["true"], "t2"))
            assert not after.ends(key)
            await after.executor.adopt([key])
            await after.ended(key)

    async def test_what_nobody_expects_is_ended(self, shop: Shop, mark: str) -> None:
        key = shop.start(["sleep", "60"], MARK=mark)
        await shop.started(key)
        await shop.executor.close()

        async with opened(shop.home.root) as after:
            assert await after.executor.adopt([]) == set()
            await true(lambda: not alive(mark))
            assert not after.reports


class TestKeeper:
    async def test_there_is_one_for_each_home(self, shop: Shop) -> None:
        pid = shop.executor.keeper_pid
        async with opened(shop.home.root) as other:
            assert other.executor.keeper_pid == pid

    async def test_it_goes_when_nothing_is_left_to_keep(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHOPFLOOR_KEEPER_IDLE_S", "0.1")
        async with opened(tmp_path) as shop:
            key = shop.start(["true"])
            await shop.ended(key)
            shop.executor.forget([key])
            pid = shop.executor.keeper_pid
        assert pid is not None
        await true(lambda: gone(pid))
        assert not shop.home.keeper_socket.exists()

    async def test_it_stays_for_a_record_nobody_has_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHOPFLOOR_KEEPER_IDLE_S", "0.1")
        async with opened(tmp_path) as shop:
            key = shop.start(["sh", "-c", "sleep 0.2; exit 9"])
            await shop.started(key)
            pid = shop.executor.keeper_pid
        await asyncio.sleep(0.5)
        async with opened(tmp_path) as after:
            assert after.executor.keeper_pid == pid
            await after.executor.adopt([key])
            assert (await after.ended(key)).exit_code == 9
        await end_keeper(tmp_path)

    async def test_after_an_upgrade_it_is_replaced_once_it_has_nothing_to_keep(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = shop.start(["sh", "-c", "until [ -e gate ]; do sleep 0.01; done; exit 7"])
        await shop.started(key)
        before = shop.executor.keeper_pid
        await shop.executor.close()
        monkeypatch.setattr(keeper_client, "version", lambda: "the next one")

        async with opened(shop.home.root) as after:
            assert await after.executor.adopt([key]) == {key}
            assert (await after.ended(after.start(["true"], "t2"))).exit_code == 0
            assert after.executor.keeper_pid == before
            (shop.home.attempt(*key) / "gate").touch()
            assert (await after.ended(key)).exit_code == 7
            after.executor.forget([key, AttemptKey("t2", 1)])
            await true(lambda: after.executor.keeper_pid not in {before, None})
            assert (await after.ended(after.start(["true"], "t3"))).exit_code == 0

    async def test_a_full_disk_refuses_what_can_not_be_written_down(self, shop: Shop) -> None:
        runs = shop.start(["sh", "-c", "until [ -e gate ]; do sleep 0.01; done"])
        await shop.started(runs)
        assert shop.executor.keeper_pid is not None
        # The limit on a file's size fails its writes as a full disk does, for this one process.
        size = shop.home.keeper_journal.stat().st_size
        _, most = resource.prlimit(shop.executor.keeper_pid, resource.RLIMIT_FSIZE)
        resource.prlimit(shop.executor.keeper_pid, resource.RLIMIT_FSIZE, (size, most))

        refused = (await shop.ended(shop.start(["true"], "t2"))).refused
        (shop.home.attempt(*runs) / "gate").touch()
        ended = await shop.ended(runs)
        resource.prlimit(shop.executor.keeper_pid, resource.RLIMIT_FSIZE, (most, most))

        assert refused == "the keeper can't write its journal: File too large"
        assert ended.exit_code == 0
        assert (await shop.ended(shop.start(["true"], "t3"))).exit_code == 0
        assert b"E\tt1#1" in shop.home.keeper_journal.read_bytes()

    async def test_a_peer_that_talks_nonsense_is_shown_out(self, shop: Shop) -> None:
        with socket.socket(socket.AF_UNIX) as peer:
            folder = os.open(shop.home.root, os.O_RDONLY)
            peer.connect(f"/proc/self/fd/{folder}/keeper.sock")
            os.close(folder)
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
            peer.settimeout(10)
            assert await asyncio.to_thread(peer.recv, 1) == b""
        assert (await shop.ended(shop.start(["true"]))).exit_code == 0

    async def test_term_does_not_end_it(self, shop: Shop) -> None:
        assert shop.executor.keeper_pid is not None
        os.kill(shop.executor.keeper_pid, signal.SIGTERM)
        assert (await shop.ended(shop.start(["true"]))).exit_code == 0

    async def test_it_is_small(self, shop: Shop) -> None:
        assert status_kb(shop.executor.keeper_pid, "VmRSS") < 14 * 1024


async def test_a_keeper_that_was_stopped_is_named_and_goes_on_later(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = shop.start(["sleep", "30"])
    await shop.started(key)
    keeper = shop.executor.keeper_pid
    assert keeper is not None
    await shop.executor.close()
    os.kill(keeper, signal.SIGSTOP)
    monkeypatch.setattr(keeper_client, "ANSWER_S", 0.2)
    try:
        late = Shop(tmp_path / "home")
        with pytest.raises(keeper_client.KeeperError, match="does not answer"):
            await late.open()
    finally:
        os.kill(keeper, signal.SIGCONT)
    await late.open()
    assert await late.executor.adopt([key]) == {key}
    await late.executor.close()
