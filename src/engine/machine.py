"""What this machine offers to tasks, and what a task's processes take of it right now."""

import contextlib
import functools
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil

from engine.scheduler.capacity import Machine
from engine.settings import Settings

_GB = 1 << 30
_UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Limits:
    """What the control groups of this process allow; None where they set no limit."""

    version: int | None
    cpu: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as NVML counts it. Memory in bytes, `busy` from 0 to 1; None where NVML does not tell."""

    index: int
    uuid: str
    name: str
    memory_total: int | None = None
    memory_used: int | None = None
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What some processes take together: `cpu_s` seconds of processor time so far, memory in bytes (resident)."""

    processes: int
    cpu_s: float
    memory_bytes: int


def detect(settings: Settings) -> Machine:
    """What tasks may take: what settings say, else what this process may use. Memory in whole GB."""
    cpu = settings.cpu if settings.cpu is not None else cores()
    memory_gb = settings.memory_gb if settings.memory_gb is not None else max(1, memory_bytes() // _GB)
    return Machine(cpu, memory_gb, gpu_ids(settings, os.environ))


def gpu_ids(settings: Settings, environment: Mapping[str, str]) -> tuple[int, ...]:
    """The GPUs that tasks may take: those of the settings, else those of NVML that CUDA_VISIBLE_DEVICES shows."""
    if settings.gpus is not None:
        return tuple(sorted(set(settings.gpus)))
    return tuple(gpu.index for gpu in visible(gpus(), environment.get("CUDA_VISIBLE_DEVICES")))


def cores() -> int:
    """Processor cores that this process may use, by its affinity and its control groups."""
    allowed = float(len(os.sched_getaffinity(0)))
    quota = cgroup_limits().cpu
    if quota is not None:
        allowed = min(allowed, quota)
    return max(1, int(allowed))


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or what its control groups allow of it."""
    total = int(psutil.virtual_memory().total)
    limit = cgroup_limits().memory_bytes
    return total if limit is None else min(total, limit)


def cgroup_limits(proc: Path = Path("/proc/self")) -> Limits:
    """The tightest limits of the control groups that this process is in, of version 1 or 2."""
    groups, mounts = _read(proc / "cgroup").splitlines(), _read(proc / "mountinfo").splitlines()
    cpu: list[float] = []
    memory: list[int] = []
    version = None
    for line in groups:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if not controllers:
            for folder in _folders(mounts, "cgroup2", "", path):
                version = version or 2
                cpu += _quota(*(_read(folder / "cpu.max").split() or ["max"]))
                memory += _bytes(_read(folder / "memory.max"))
        if "cpu" in names:
            for folder in _folders(mounts, "cgroup", "cpu", path):
                version = 1
                cpu += _quota(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))
        if "memory" in names:
            for folder in _folders(mounts, "cgroup", "memory", path):
                version = 1
                memory += _bytes(_read(folder / "memory.limit_in_bytes"))
    return Limits(version, min(cpu, default=None), min(memory, default=None))


def process_limit(proc: Path = Path("/proc/self")) -> int | None:
    """How many processes and threads the control groups of this process allow; None for no limit."""
    mounts = _read(proc / "mountinfo").splitlines()
    found: list[int] = []
    for line in _read(proc / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "pids" not in controllers.split(","):
            continue
        kind, controller = ("cgroup", "pids") if controllers else ("cgroup2", "")
        for folder in _folders(mounts, kind, controller, path):
            found += _bytes(_read(folder / "pids.max"))
    return min(found, default=None)


def _folders(mounts: Sequence[str], kind: str, controller: str, path: str) -> Iterator[Path]:
    """The group at `path` and those around it, as far as they are mounted here."""
    for line in mounts:
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) < 5 or len(tail) < 3 or tail[0] != kind:
            continue
        if controller and controller not in tail[2].split(","):
            continue
        mounted, point = fields[3], Path(fields[4].replace("\\040", " "))
        # In a container the path is often the host's, and what is mounted is the group itself.
        inside = path.removeprefix(mounted.rstrip("/")).strip("/") if path.startswith(mounted.rstrip("/")) else ""
        folder = point / inside if ".." not in inside.split("/") else point
        yield folder
        yield from (parent for parent in folder.parents if parent.is_relative_to(point))
        return


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""


def _quota(quota: str, period: str = "100000") -> list[float]:
    if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
        return [int(quota) / int(period)]
    return []


def _bytes(limit: str) -> list[int]:
    return [int(limit)] if limit.isdecimal() and int(limit) < _UNLIMITED else []


def gpus() -> tuple[Gpu, ...]:
    """All GPUs that NVML knows, by index; none where there is no driver. One that fell off the bus is left out."""
    nvml = _nvml()
    if nvml is None:
        return ()
    found = []
    with contextlib.suppress(nvml.NVMLError):
        for index in range(nvml.nvmlDeviceGetCount()):
            with contextlib.suppress(nvml.NVMLError):
                found.append(_gpu(nvml, index))
    return tuple(found)


@functools.cache
def _nvml() -> ModuleType | None:
    """NVML, opened once: with drivers that are not kept awake, that can take seconds. None where there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    nvml: ModuleType = pynvml
    return nvml


def _gpu(nvml: ModuleType, index: int) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = busy = None
    with contextlib.suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
    with contextlib.suppress(nvml.NVMLError):
        busy = nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100
    return Gpu(
        index,
        _text(nvml.nvmlDeviceGetUUID(device)),
        _text(nvml.nvmlDeviceGetName(device)),
        int(memory.total) if memory else None,
        int(memory.used) if memory else None,
        busy,
    )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def driver_version() -> str | None:
    """The version of the GPU driver; None where there is none."""
    nvml = _nvml()
    return None if nvml is None else _text(nvml.nvmlSystemGetDriverVersion())


def visible(found: Sequence[Gpu], setting: str | None) -> tuple[Gpu, ...]:
    """Those of `found` that a CUDA_VISIBLE_DEVICES of `setting` shows, as CUDA reads it: up to the first bad entry."""
    if setting is None:
        return tuple(found)
    shown: list[Gpu] = []
    for word in setting.split(","):
        name = word.strip()
        match = [gpu for gpu in found if _names(gpu, name)]
        if len(match) != 1 or match[0] in shown:
            break
        shown += match
    return tuple(sorted(shown, key=lambda gpu: gpu.index))


def _names(gpu: Gpu, word: str) -> bool:
    if re.fullmatch(r"\d+", word):
        return gpu.index == int(word)
    return word.startswith("GPU-") and gpu.uuid.startswith(word)


def usage(pid: int, cookie: str | None = None) -> Usage:
    """What the session of `pid`, its descendants and whatever carries `cookie` in its environment take together.

    `cookie` is a whole `NAME=value`. Processes that end meanwhile, or belong to another user, are left out.
    """
    found = _tree(pid)
    if cookie is not None:
        found |= set(with_cookie(cookie, found))
    processes, cpu_s, resident = 0, 0.0, 0
    for number in found:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(number)
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
            processes += 1
            cpu_s += times.user + times.system
            resident += memory.rss
    return Usage(processes, cpu_s, resident)


def _tree(pid: int) -> set[int]:
    """`pid`, all that descend from it, and all of its session: the process itself may be gone by now."""
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for number in psutil.pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # After the name, which may hold spaces and brackets: state, parent, group, session.
            fields = _read(Path(f"/proc/{number}/stat")).rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(number)
            if number == pid or int(fields[3]) == pid:
                found.add(number)
    todo = list(found)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def with_cookie(cookie: str, known: Collection[int] = ()) -> list[int]:
    """The processes of this user whose environment holds `cookie`, but for those in `known`."""
    found = []
    needle = cookie.encode("utf-8", "surrogateescape")
    for number in psutil.pids():
        if number in known:
            continue
        try:
            environment = Path(f"/proc/{number}/environ").read_bytes()
        except OSError:
            continue
        if needle in environment.split(b"\0"):
            found.append(number)
    return found
