"""The engine as a process: composes everything, serves until it is told to stop, and takes it apart again."""

import asyncio
import gc
import importlib.metadata
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import uvloop

from engine.api.app import create_app
from engine.api.parts import Parts
from engine.api.server import HttpServer, ListenError, tcp_socket, unix_socket
from engine.background import READY
from engine.control.experiments import Experiments
from engine.control.keys import KeyFileError, Keys
from engine.control.queue import Queue
from engine.control.tasks import Tasks
from engine.control.usage import UsageMeter
from engine.events import EventHub
from engine.executors.keeper_client import KeeperError
from engine.executors.process import ProcessExecutor
from engine.local import HomeTaken, hold
from engine.log import start_log
from engine.machine import detect
from engine.maintenance import Chore, Maintenance
from engine.materials.prepare import Materials
from engine.output import Output
from engine.patience import LEAVE_WITHIN_S, out_of_time
from engine.protocol.machine import EngineFile
from engine.protocol.states import ExecutorName
from engine.scheduler import recovery
from engine.scheduler.capacity import Capacity
from engine.scheduler.loop import Scheduler
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.errors import StoreError
from engine.store.event_reads import prune_events
from engine.store.reads import Reads
from engine.store.writer import Transaction, Writer

log = logging.getLogger(__name__)

_WORKER: Final = "worker"

T = TypeVar("T")

StopMode = Literal["leave", "drain"]
_STOP_SIGNALS: Final[dict[signal.Signals, StopMode | None]] = {
    signal.SIGTERM: None,
    signal.SIGINT: None,
    signal.SIGHUP: None,
    signal.SIGUSR1: "drain",
    signal.SIGUSR2: "leave",
}


class StartError(Exception):
    """The engine can't start; the message says what to do."""


def serve(settings: Settings, *, background: bool = False) -> None:
    """Run the engine until it is stopped. Raises StartError when it can't start.

    In the background, stdout is a pipe to whoever started it: it is told once the engine is ready.
    """
    home = Home(settings.home)
    with ExitStack() as stack:
        try:
            home.create()
            stack.enter_context(hold(home))
            start_log(home.logs, settings.log_level, foreground=not background)
        except OSError as error:
            raise StartError(f"home: {home.root} can't be used: {error.strerror or error}") from error
        except HomeTaken as error:
            raise StartError(str(error)) from error
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(Daemon(settings, home, background=background).run())
        except (ListenError, KeyFileError, KeeperError, StoreError) as error:
            log.error("%s", error)  # noqa: TRY400 - its words say all
            raise StartError(str(error)) from error
        except StartError:
            raise
        except Exception as error:
            log.exception("the engine failed")
            raise StartError(f"The engine failed: {error!r}; its log in {home.logs} says where") from error


class Daemon:
    """One run of the engine on a home that this process holds."""

    def __init__(self, settings: Settings, home: Home, *, background: bool) -> None:
        self._settings = settings
        self._home = home
        self._background = background
        self._version = importlib.metadata.version("shopfloor")
        self._started_at = time.time()
        self._stop: asyncio.Future[StopMode]
        self._hurry = asyncio.Event()
        self._draining = False

    async def run(self) -> None:
        """Serve until the first signal; a second one ends a drain. What was begun is undone in the other order."""
        self._stop = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            listeners, unix = self._listeners(stack)
            self._heed_signals(stack)
            composed = await self._unless_stopped(self._compose(stack, f"http://{_address(listeners[0])}"))
            if composed is None:
                log.info("stopped before it was ready")
                return
            parts, scheduler, writer = composed
            server = HttpServer(create_app(parts), listeners, unix)
            serving = asyncio.create_task(server.serve())
            serving.add_done_callback(lambda _: self._give_up())
            await self._unless_stopped(server.ready.wait())
            _settle_memory()
            await _tell(writer, "engine.started", parts.worker_id, {"version": self._version})
            self._announce(parts.url)
            try:
                await self._wind_down(await self._stop, scheduler, writer, parts)
            finally:
                parts.hub.close()
                server.stop()
                await serving

    async def _unless_stopped(self, work: Coroutine[None, None, T]) -> T | None:
        """Its result; None when a signal came first."""
        working = asyncio.create_task(work)
        either: list[asyncio.Future[Any]] = [working, self._stop]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            out_of_time(LEAVE_WITHIN_S, self._home)
            working.cancel()
            await asyncio.wait([working])
        return None if working.cancelled() else working.result()

    async def _compose(self, stack: AsyncExitStack, url: str) -> tuple[Parts, Scheduler, Writer]:
        settings, home = self._settings, self._home
        database = Database.open(settings.database_url or f"sqlite:///{quote(str(home.database))}")
        stack.callback(database.close)
        reads = Reads(database)
        stack.callback(reads.close)
        hub = EventHub(await reads.newest_event(), reads.events)
        writer = Writer(database, hub.publish)
        writer.start()
        stack.push_async_callback(asyncio.to_thread, writer.close)
        keys = Keys(writer)
        await keys.load()
        await keys.open_local(home.key)
        materials = Materials(home, settings, reads.newest_snapshot)
        stack.push_async_callback(asyncio.to_thread, materials.close)
        worker_id = await writer.run(_worker_id)
        loop = asyncio.get_running_loop()
        scheduler = Scheduler(
            writer,
            Capacity(detect(settings)),
            {ExecutorName.PROCESS: ProcessExecutor(home)},
            materials,
            settings=settings,
            home=home,
            worker_id=worker_id,
            background=lambda work: loop.run_in_executor(None, work),
        )
        await scheduler.start()
        output = Output(home)
        maintenance = Maintenance(self._chores(output, writer))
        maintenance.start()
        stack.push_async_callback(maintenance.close)
        queue = Queue(scheduler, reads, home)
        parts = Parts(
            settings=settings,
            home=home,
            version=self._version,
            started_at=self._started_at,
            url=url,
            worker_id=worker_id,
            database=database.dialect,
            reads=reads,
            hub=hub,
            keys=keys,
            tasks=Tasks(scheduler, reads, materials),
            queue=queue,
            experiments=Experiments(writer, materials),
            output=output,
            usage=UsageMeter(reads),
            draining=lambda: self._draining,
        )
        return parts, scheduler, writer

    async def _wind_down(self, mode: StopMode, scheduler: Scheduler, writer: Writer, parts: Parts) -> None:
        self._draining = mode == "drain"
        scheduler.hold()
        log.info("stopping: %s", "waiting for what runs" if self._draining else "what runs is left running")
        if not self._draining:
            out_of_time(LEAVE_WITHIN_S, self._home)
        await _tell(writer, "engine.stopping", parts.worker_id, {"mode": mode})
        if self._draining and not await self._drained(scheduler):
            log.info("told again: what runs is left running")
            mode = "leave"
        if self._draining:
            out_of_time(LEAVE_WITHIN_S, self._home)
        if mode == "leave":
            await scheduler.stop("leave")

    async def _drained(self, scheduler: Scheduler) -> bool:
        """Wait until what runs has ended, or time or patience has; False when a second signal cut it short."""
        stopping = asyncio.create_task(scheduler.stop("drain"))
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([stopping, hurrying], return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if stopping.done():
            stopping.result()
            return True
        stopping.cancel()
        await asyncio.wait([stopping])
        return False

    def _chores(self, output: Output, writer: Writer) -> dict[str, Chore]:
        chores: dict[str, Chore] = {"pruning old output": lambda: output.prune(self._settings, writer)}
        days = self._settings.event_keep_days
        if days:
            chores["pruning old events"] = lambda: prune_events(writer, time.time() - days * 86400)
        return chores

    def _listeners(self, stack: AsyncExitStack) -> tuple[list[socket.socket], socket.socket]:
        settings = self._settings
        ports = [settings.port]
        if settings.contracts.worker.port is not None:
            ports.append(settings.contracts.worker.port)  # the worker contract stands at the root, so it is the same
        tcp = [stack.enter_context(tcp_socket(settings.host, port)) for port in ports]
        try:
            self._home.engine_file.unlink(missing_ok=True)  # left by an engine that was killed
        except OSError as error:
            raise StartError(f"home: {self._home.engine_file} can't be replaced: {error.strerror}") from error
        unix = stack.enter_context(unix_socket(self._home.socket))
        stack.callback(self._home.socket.unlink, missing_ok=True)
        stack.callback(self._home.engine_file.unlink, missing_ok=True)
        return tcp, unix

    def _heed_signals(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        for number, mode in _STOP_SIGNALS.items():
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup, or a shell's background job: whoever started it wants it left alone
            loop.add_signal_handler(number, self._on_signal, number, mode or self._settings.on_stop)
            stack.callback(loop.remove_signal_handler, number)

    def _on_signal(self, number: signal.Signals, mode: StopMode) -> None:
        log.info("%s", number.name)
        if self._stop.done():
            self._hurry.set()
        else:
            self._stop.set_result(mode)

    def _give_up(self) -> None:
        """The server ended without being told to: there is no engine without one."""
        if not self._stop.done():
            self._stop.set_result("leave")

    def _announce(self, url: str) -> None:
        """Write `engine.json`, which is the sign that the engine is ready, and tell whoever waits."""
        facts = EngineFile(
            pid=os.getpid(),
            url=url,
            socket=str(self._home.socket),
            version=self._version,
            started_at=datetime.fromtimestamp(self._started_at, UTC),
        )
        partial = self._home.engine_file.with_suffix(".partial")
        partial.write_text(facts.model_dump_json() + "\n", "utf-8")
        partial.replace(self._home.engine_file)
        log.info("ready at %s and %s, version %s", facts.url, facts.socket, facts.version)
        if self._background:
            os.write(sys.stdout.fileno(), READY + url.encode() + b"\n")
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
                os.dup2(nowhere.fileno(), sys.stderr.fileno())


def _address(tcp: socket.socket) -> str:
    host, port = tcp.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _worker_id(tx: Transaction) -> str:
    """Who this engine is to its tasks: a name that its home keeps, with the machine's own in it for people."""
    known = recovery.read_state(tx, _WORKER)
    if known is None:
        known = f"{socket.gethostname().partition('.')[0][:40] or 'engine'}-{secrets.token_hex(3)}"
        recovery.write_state(tx, _WORKER, known)
    return str(known)


async def _tell(writer: Writer, kind: str, worker_id: str, data: Mapping[str, object]) -> None:
    """Write an event of the engine's own; on a full disk it starts and stops all the same."""
    try:
        await writer.run(lambda tx: tx.event(kind, worker_id, data))
    except StoreError as error:
        log.warning("%s was not written down: %s", kind, error)


def _settle_memory() -> None:
    """What was made so far lives as long as the process: the collector need not look at it again, nor often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
