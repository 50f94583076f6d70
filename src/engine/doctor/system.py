"""Checks of what the operating system gives: clock, limits, control groups, Python, locale."""

import ctypes
import locale
import os
import platform
import resource
import sys
import time
from pathlib import Path

from engine import machine
from engine.doctor.finding import Finding, fail, ok, warn
from engine.materials.trees import size_words
from engine.settings import Home, Settings

_EARLIEST = 1_735_689_600  # 2025
_AHEAD_S = 120.0
_FILES_NEEDED, _FILES_COMFORT = 512, 4096
_PROCESSES_NEEDED, _PROCESSES_COMFORT = 64, 1024
_TIME_ERROR = 5


def cgroups(settings: Settings, limits: machine.Limits | None = None) -> Finding:
    """What control groups allow, against what settings promise to tasks."""
    limits = limits or machine.cgroup_limits()
    cores, memory = machine.cores(), machine.memory_bytes()
    told = [
        f"{limits.cpu:g} cores" if limits.cpu is not None else "",
        f"{size_words(limits.memory_bytes)} of memory" if limits.memory_bytes is not None else "",
    ]
    version = f"version {limits.version}" if limits.version else "none"
    found = f"{version}, limits: {' and '.join(filter(None, told)) or 'none'}; tasks may use {cores} cores"
    found += f" and {size_words(memory)}"
    if settings.cpu is not None and settings.cpu > cores:
        return warn(
            "cgroups",
            f"{found}, but the setting cpu promises them {settings.cpu}",
            f"lower cpu to {cores}, or raise the limit: tasks share what there is and take longer",
        )
    if settings.memory_gb is not None and settings.memory_gb << 30 > memory:
        return warn(
            "cgroups",
            f"{found}, but the setting memory_gb promises them {settings.memory_gb} GB",
            f"lower memory_gb to {memory >> 30}, or raise the limit: tasks that use it all are killed",
        )
    return ok("cgroups", found)


def clock(settings: Settings, now: float | None = None) -> Finding:
    """Whether the time of day is sane: not before the files here, and kept by the kernel where it says so."""
    now = time.time() if now is None else now
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    home = Home(settings.home)
    newest = max((_changed(path) for path in (home.root, home.database, home.key, home.engine_file)), default=0.0)
    advice = "set the clock and keep it set (timedatectl set-ntp true): the queue orders and times work by it"
    if now < _EARLIEST:
        return fail("clock", f"it shows {when}", advice)
    if newest > now + _AHEAD_S:
        return fail("clock", f"it shows {when}, {newest - now:,.0f} s before the newest file of the home", advice)
    if _kept() is False:
        return warn("clock", f"it shows {when}; the kernel says that nothing keeps it in step", advice)
    return ok("clock", f"{when}{', kept in step' if _kept() else ''}")


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _kept() -> bool | None:
    """Whether the kernel's clock is disciplined, as by NTP; None where it can't be asked."""
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer != _TIME_ERROR


def files() -> Finding:
    """How many files the engine may have open: each connection, follower and running task takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{_many(soft)} open files for each process, at most {_many(hard)}"
    advice = f"run `ulimit -n {_FILES_COMFORT}` before the engine starts, or raise nofile in /etc/security/limits.conf"
    if soft != resource.RLIM_INFINITY and soft < _FILES_COMFORT:
        return (fail if soft < _FILES_NEEDED else warn)("files", found, advice)
    return ok("files", found)


def processes(proc: Path = Path("/proc/self")) -> Finding:
    """How many processes tasks may start."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [] if soft == resource.RLIM_INFINITY else [soft]
    group = machine.process_limit(proc)
    limits += [] if group is None else [group]
    if not limits:
        return ok("processes", "no limit")
    found = f"{_many(min(limits))} processes and threads"
    if min(limits) < _PROCESSES_COMFORT:
        advice = "raise nproc in /etc/security/limits.conf, or TasksMax of the systemd unit or user slice"
        return (fail if min(limits) < _PROCESSES_NEEDED else warn)("processes", found, advice)
    return ok("processes", found)


def _many(limit: int) -> str:
    return "no limit on" if limit == resource.RLIM_INFINITY else f"{limit:,}"


def python() -> Finding:
    found = f"Python {platform.python_version()} at {sys.executable}"
    if sys.version_info < (3, 11):  # noqa: UP036 - says so to whoever forced it
        return fail("python", found, "install shopfloor with Python 3.11 or newer")
    return ok("python", found)


def text() -> Finding:
    """Whether names and output are taken for UTF-8."""
    encoding = locale.getencoding().lower().replace("-", "")
    if encoding == "utf8" or sys.flags.utf8_mode:
        return ok("locale", "UTF-8")
    named = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "not set"
    return warn(
        "locale", f"text is {locale.getencoding()} (locale {named})", "export LANG=C.UTF-8 before the engine starts"
    )
