"""Checks of who can get in: permissions, sockets, ports, the keeper."""

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

import psutil

from engine.doctor.finding import Finding, fail, ok, warn
from engine.local import holder
from engine.materials.errors import reason
from engine.settings import Home, Settings

_LONGEST_SOCKET = 107


def permissions(settings: Settings) -> Finding:
    """Whether the home and what is secret in it belong to this user alone."""
    home = Home(settings.home)
    if not home.root.exists():
        return ok("permissions", f"{home.root} is not there yet; the first start makes it for you alone")
    for path in (home.root, home.key, home.socket, home.keeper_socket, home.database):
        # The database is as private as the folder around it.
        finding = _private(path, closed=path != home.database)
        if finding is not None:
            return finding
    return ok("permissions", "home, key and sockets are yours alone")


def _private(path: Path, *, closed: bool) -> Finding | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return fail("permissions", f"{path}: {reason(error)}", "run the engine as the user who owns its home")
    if status.st_uid != os.geteuid():
        return fail(
            "permissions",
            f"{path} belongs to user {status.st_uid}, not to you ({os.geteuid()})",
            "run the engine as the user who owns its home, or set SHOPFLOOR_HOME to a folder of your own",
        )
    mode = stat.S_IMODE(status.st_mode)
    if closed and mode & 0o077:
        safe = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
        return fail("permissions", f"{path} is open to others (mode {mode:o})", f"run: chmod {safe:o} {path}")
    return None


def sockets(settings: Settings) -> Finding:
    """Whether the paths of the sockets fit into what the kernel takes."""
    home = Home(settings.home.absolute())
    longest = max(len(os.fsencode(path)) for path in (home.socket, home.keeper_socket))
    if longest > _LONGEST_SOCKET:
        return fail(
            "sockets",
            f"the path of {home.keeper_socket} has {longest} bytes; the kernel takes {_LONGEST_SOCKET}",
            "set SHOPFLOOR_HOME to a folder with a shorter path",
        )
    return ok("sockets", f"{home.socket}")


def port(settings: Settings) -> Finding:
    """Whether the port can be had, and who could reach it."""
    where = f"{settings.host}:{settings.port}"
    running = holder(Home(settings.home))
    if running is not None:
        return ok("port", f"the engine of this home runs (pid {running})")
    try:
        kind, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except socket.gaierror as error:
        return fail(
            "port", f"host {settings.host!r} is no address: {error.strerror}", "set host to an address of this machine"
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return fail(
                "port",
                f"{where} is taken{_taken_by(settings.port)}",
                "set port (SHOPFLOOR_PORT, or --port) to another one; 0 picks a free one",
            )
        return fail(
            "port", f"{where} can't be had: {reason(error)}", "set host and port to ones that you may listen on"
        )
    found = f"{where} is free" if settings.port else f"a free one on {settings.host}"
    if not _loopback(str(address[0])):
        return warn(
            "port",
            f"{found}, and other machines can reach it without encryption",
            "listen on 127.0.0.1 and come through SSH, or put a server that speaks TLS in front",
        )
    return ok("port", found)


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _taken_by(number: int) -> str:
    """Who listens there, as far as this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == number
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def keeper(settings: Settings) -> Finding:
    """Whether the process that starts and outlives tasks answers."""
    path = Home(settings.home).keeper_socket
    if not path.exists():
        return ok("keeper", "not running; it starts with the engine and ends when nothing is left to keep")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(2)
        try:
            knock.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return ok("keeper", "not running; what it left is cleared away when the engine starts")
        except OSError as error:
            return fail(
                "keeper",
                f"it does not answer: {reason(error)}",
                "look at logs/ in the home; once no task runs, end it and start the engine again",
            )
    return ok("keeper", "running")
