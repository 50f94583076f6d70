"""What the machine offers, and what processes take of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from engine import machine
from engine.machine import Gpu, cgroup_limits, cores, detect, memory_bytes, process_limit, usage, visible
from engine.settings import Settings

GPUS = [Gpu(0, "GPU-aaa", "H200"), Gpu(1, "GPU-abb", "H200"), Gpu(2, "GPU-ccc", "H200")]


class Groups:
    """A made-up /proc/self and the control groups that it names."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.mount = root / "sys fs"
        self.proc.mkdir()
        self.mount.mkdir()

    def names(self, groups: str, mountinfo: str) -> None:
        (self.proc / "cgroup").write_text(groups)
        (self.proc / "mountinfo").write_text(mountinfo.replace("AT", str(self.mount).replace(" ", "\\040")))

    def put(self, path: str, content: str) -> None:
        file = self.mount / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


def test_version_2_counts_the_groups_around_it_too(groups: Groups) -> None:
    groups.names("0::/user/task\n", "30 1 0:26 / AT rw - cgroup2 cgroup2 rw\n")
    groups.put("user/task/cpu.max", "max 100000")
    groups.put("user/cpu.max", "250000 100000")
    groups.put("user/task/memory.max", "4294967296")
    groups.put("user/memory.max", "max")
    groups.put("user/pids.max", "500")
    limits = cgroup_limits(groups.proc)
    assert (limits.version, limits.cpu, limits.memory_bytes) == (2, 2.5, 4 << 30)
    assert process_limit(groups.proc) == 500


def test_a_container_sees_its_own_group_as_the_top(groups: Groups) -> None:
    groups.names("0::/docker/abc\n", "30 1 0:26 /docker/abc AT rw - cgroup2 cgroup2 rw\n")
    groups.put("cpu.max", "50000 100000")
    assert cgroup_limits(groups.proc).cpu == 0.5
    groups.names("0::/\n", "30 1 0:26 /../.. AT rw - cgroup2 cgroup2 rw\n")
    assert cgroup_limits(groups.proc).cpu == 0.5


def test_version_1(groups: Groups) -> None:
    groups.names(
        "4:memory:/job\n3:cpu,cpuacct:/job\n2:pids:/job\n0::/\n",
        "30 1 0:26 / AT/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 1 0:27 / AT/memory rw - cgroup cgroup rw,memory\n"
        "32 1 0:28 / AT/pids rw - cgroup cgroup rw,pids\n",
    )
    groups.put("cpu/job/cpu.cfs_quota_us", "150000")
    groups.put("cpu/job/cpu.cfs_period_us", "100000")
    groups.put("cpu/cpu.cfs_quota_us", "-1")
    groups.put("cpu/cpu.cfs_period_us", "100000")
    groups.put("memory/job/memory.limit_in_bytes", str(2 << 30))
    groups.put("memory/memory.limit_in_bytes", "9223372036854771712")
    groups.put("pids/job/pids.max", "max")
    limits = cgroup_limits(groups.proc)
    assert (limits.version, limits.cpu, limits.memory_bytes) == (1, 1.5, 2 << 30)
    assert process_limit(groups.proc) is None


@pytest.mark.parametrize("mountinfo", ["", "nonsense", "30 1 0:26 / AT rw - tmpfs tmpfs rw\n"])
def test_without_groups_there_is_no_limit(groups: Groups, mountinfo: str) -> None:
    groups.names("0::/job\n", mountinfo)
    limits = cgroup_limits(groups.proc)
    assert (limits.cpu, limits.memory_bytes) == (None, None)
    assert cgroup_limits(groups.proc / "missing") == machine.Limits(None, None, None)


def test_what_is_detected_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOPFLOOR_CPU", raising=False)
    found = detect(Settings(home=tmp_path))
    assert found.cpu == cores() >= 1
    assert found.memory_gb == max(1, memory_bytes() >> 30)
    told = detect(Settings(home=tmp_path, cpu=7, memory_gb=3, gpus=[4, 1, 4]))
    assert (told.cpu, told.memory_gb, told.gpu_ids) == (7, 3, (1, 4))


def test_affinity_counts() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); from engine.machine import cores; print(cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("setting", "indexes"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("2,0", [0, 2]),
        ("1, 2", [1, 2]),
        ("0,7,1", [0]),
        ("-1", []),
        ("GPU-ccc,0", [0, 2]),
        ("GPU-a", []),
        ("0,0,1", [0]),
        ("nonsense", []),
    ],
)
def test_only_the_gpus_that_this_process_may_see(setting: str | None, indexes: list[int]) -> None:
    assert [gpu.index for gpu in visible(GPUS, setting)] == indexes


class Driver(ModuleType):
    """NVML on a machine of two GPUs, of which the second fell off the bus and the first tells no utilisation."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, there: bool = True) -> None:
        super().__init__("pynvml")
        self.there = there

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.there:
            raise self.NVMLError("driver not loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index:
            raise self.NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=139 << 30, used=1 << 30)

    def nvmlDeviceGetUtilizationRates(self, device: int) -> None:  # noqa: N802
        raise self.NVMLError("not supported")

    def nvmlDeviceGetUUID(self, device: int) -> bytes:  # noqa: N802
        return b"GPU-a"

    def nvmlDeviceGetName(self, device: int) -> str:  # noqa: N802
        return "NVIDIA H200"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Driver], None]]:
    def install(driver: Driver) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", driver)
        machine._nvml.cache_clear()

    yield install
    machine._nvml.cache_clear()


def test_gpus_are_read_as_far_as_the_driver_tells(driver: Callable[[Driver], None]) -> None:
    driver(Driver())
    assert machine.gpus() == (Gpu(0, "GPU-a", "NVIDIA H200", 139 << 30, 1 << 30, None),)


def test_without_a_driver_there_are_none(driver: Callable[[Driver], None]) -> None:
    driver(Driver(there=False))
    assert machine.gpus() == ()
    assert machine.driver_version() is None


@pytest.fixture
def family() -> Iterator[tuple[int, str]]:
    """A session whose child left it, found by its cookie alone."""
    cookie = f"SHOPFLOOR_ATTEMPT=test{os.getpid()}#1"
    code = (
        "import subprocess, sys; data = bytearray(30_000_000)\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print('up', child.pid, flush=True); sys.stdin.read(); child.kill(); child.wait()"
    )
    name, _, value = cookie.partition("=")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, name: value},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"up")
    yield process.pid, cookie
    process.communicate(timeout=20)


def test_the_whole_family_is_counted(family: tuple[int, str]) -> None:
    pid, cookie = family
    found = usage(pid, cookie)
    assert found.processes == 2
    assert found.memory_bytes > 30_000_000
    assert found.cpu_s > 0
    assert usage(2**22 - 1, cookie).processes == 2, "the cookie finds them when the first process is gone"


def test_what_is_gone_takes_nothing() -> None:
    assert usage(2**22 - 1, "SHOPFLOOR_ATTEMPT=nobody#1") == machine.Usage(0, 0.0, 0)
