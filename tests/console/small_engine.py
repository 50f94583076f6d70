"""A small engine for tests of the console: the real protocol on a real socket, with rows made up as they are asked for.

It can be told what happens, can die and come back, and counts what it was asked. Run as a script it serves a home:

    python -m tests.console.small_engine HOME ROWS
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

KEY = "k" * 32
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


def task(index: int) -> dict[str, Any]:
    """The row at `index` of the made-up list."""
    return {
        "id": f"t{index:07d}",
        "job_name": f"sweep-{index}",
        "status": "queued",
        "state": "queued",
        "priority": 5,
        "created_at": LONG_AGO,
        "queued_at": LONG_AGO,
        "cpu": 2,
        "memory_gb": 8,
        "gpu": 1,
        "attempt": 0,
        "command": ["true"],
    }


class SmallEngine:
    """Serves a home's socket from a thread. What it holds may be changed from the test's thread."""

    def __init__(self, home: Path, rows: int = 100) -> None:
        self.home = home
        self.rows = rows
        self.changed: dict[str, dict[str, Any]] = {}
        self.first: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.outputs: dict[str, bytes] = {}
        self.ended: set[str] = set()
        self.refused: dict[str, tuple[int, str]] = {}
        self.asked: Counter[str] = Counter()
        self.windows: list[tuple[int, int]] = []
        self.version = "0.1.0"
        self.key = KEY
        self.replay_only_from = 0
        self.ping_every_s = 20.0
        self._news = threading.Condition()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakes: set[asyncio.Event] = set()

    # Life

    def start(self) -> "SmallEngine":
        self.home.mkdir(parents=True, exist_ok=True)
        socket = self.home / "engine.sock"
        socket.unlink(missing_ok=True)
        config = uvicorn.Config(
            self._app(),
            uds=str(socket),
            log_level="critical",
            ws="websockets-sansio",
            ws_ping_interval=self.ping_every_s,
            ws_ping_timeout=self.ping_every_s,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(self._server,), daemon=True)
        self._thread.start()
        _until(lambda: self._server is not None and self._server.started)
        (self.home / "key").write_text(KEY)
        facts = {"pid": os.getpid(), "url": "http://127.0.0.1:9", "socket": str(socket), "version": self.version}
        (self.home / "engine.new").write_text(json.dumps(facts))
        (self.home / "engine.new").replace(self.home / "engine.json")
        return self

    def _run(self, server: uvicorn.Server) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            with _no_signals(server):
                await server.serve()

        asyncio.run(serve())

    def leave(self) -> None:
        """Ends by itself in a moment; nobody waits for it."""
        if self._server is not None:
            self._server.force_exit = self._server.should_exit = True

    def stop(self, *, removes_file: bool = True) -> None:
        """Gone, at once: no connection is closed in good order."""
        if self._server is None or self._thread is None:
            return
        if removes_file:
            (self.home / "engine.json").unlink(missing_ok=True)
        self._server.force_exit = True
        self._server.should_exit = True
        self._thread.join(10)
        self._server = self._thread = self._loop = None

    # What happens

    def happens(self, kind: str, subject: str, **data: Any) -> int:
        """An event; returns its seq."""
        seq = len(self.events) + 1
        event = {
            "type": "task_update" if kind.startswith("task.") else "event",
            "seq": seq,
            "at": datetime.now(UTC).isoformat(),
            "kind": kind,
            "subject": subject,
            "data": data,
        }
        self.events.append(event)
        self._wake()
        return seq

    def turns(self, index: int, state: str, **more: Any) -> int:
        """The task at `index` changes its state."""
        row = task(index)
        fields = {"state": state, "status": state, "attempt": 1, "job_name": row["job_name"], **more}
        self.changed.setdefault(str(row["id"]), {}).update(fields)
        return self.happens(f"task.{state}", str(row["id"]), **fields)

    def prints(self, task_id: str, data: bytes) -> None:
        self.outputs[task_id] = self.outputs.get(task_id, b"") + data
        self._wake()

    def ends(self, task_id: str) -> None:
        self.ended.add(task_id)
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            for wake in tuple(self._wakes):
                loop.call_soon_threadsafe(wake.set)

    # What it answers

    def _app(self) -> Starlette:
        def get(path: str, answer: Callable[[Request], Any]) -> Route:
            async def endpoint(request: Request) -> Response:
                self.asked[request.url.path] += 1
                if request.headers.get("x-api-key") != self.key:
                    return _error(401, "UNAUTHORIZED", "unknown key")
                if request.url.path in self.refused:
                    status, message = self.refused[request.url.path]
                    return _error(status, "CONFLICT", message)
                return JSONResponse(answer(request))

            return Route(path, endpoint, methods=["GET", "POST", "DELETE"])

        def empty(_: Request) -> Any:
            return {"rows": [], "total": 0, "limit": 100, "offset": 0, "seq": len(self.events)}

        return Starlette(
            routes=[
                get("/v1/status", self._status),
                get("/v1/queue", self._queue),
                get("/v1/resources", self._resources),
                get("/v1/tasks", self._tasks),
                get("/v1/tasks/{id}", lambda request: self._row(int(request.path_params["id"][1:]))),
                get("/v1/tasks/{id}/logs", self._log),
                Route("/v1/tasks/{id}/logs/stream", self._stream),
                get("/v1/tasks/{id}/{part}", lambda _: []),
                get("/v1/jobs", empty),
                get("/v1/phases", empty),
                get("/v1/approvals", empty),
                get("/v1/events", empty),
                get("/v1/costs", lambda _: {"today": "0", "total": "0", "daily_limit": None, "lines": [], "by": "job"}),
                WebSocketRoute("/ws", self._ws),
            ]
        )

    def _status(self, _: Request) -> Any:
        return {"worker_id": "w", "version": self.version, "host": "here", "pid": 1, "started_at": LONG_AGO}

    def _queue(self, _: Request) -> Any:
        states = Counter(str(fields.get("state", "queued")) for fields in self.changed.values())
        return {
            "queued": self.rows - sum(states.values()),
            "running": states["running"],
            "completed": states["completed"],
            "failed": states["failed"],
            "workers": 1,
            "seq": len(self.events),
        }

    def _resources(self, _: Request) -> Any:
        return {
            "host": "here",
            "cpu_total": 8,
            "cpu_used": 2,
            "memory_gb_total": 64,
            "memory_gb_used": 8,
            "gpus": [],
            "groups": [],
        }

    def _row(self, index: int) -> dict[str, Any]:
        row = task(index)
        return row | self.changed.get(str(row["id"]), {})

    def _tasks(self, request: Request) -> Any:
        offset, limit = int(request.query_params.get("offset", 0)), int(request.query_params.get("limit", 50))
        self.windows.append((offset, limit))
        wanted = request.query_params.get("filter", "")
        if wanted:
            rows = [row for row in (self._row(i) for i in range(min(self.rows, 2_000))) if wanted in row["job_name"]]
            total, rows = len(rows), rows[offset : offset + limit]
        else:
            total = len(self.first) + self.rows
            rows = [
                self.first[i] if i < len(self.first) else self._row(i - len(self.first))
                for i in range(offset, min(total, offset + limit))
            ]
        return {"tasks": rows, "total": total, "limit": limit, "offset": offset, "seq": len(self.events)}

    def _log(self, request: Request) -> Any:
        task_id = request.path_params["id"]
        output = self.outputs.get(task_id, b"")
        query = request.query_params
        limit = int(query.get("limit", 1 << 16))
        offset = int(query.get("offset", 0))
        if "tail" in query:
            offset = max(0, len(output) - int(query["tail"]))
            if offset:
                offset = output.find(b"\n", offset) + 1
        data = output[offset : offset + limit]
        return {
            "task_id": task_id,
            "attempt": 1,
            "offset": offset,
            "next_offset": offset + len(data),
            "size": len(output),
            "text": data.decode("utf-8", "replace"),
            "ended": task_id in self.ended,
        }

    async def _stream(self, request: Request) -> Response:
        task_id, at = request.path_params["id"], int(request.query_params["offset"])
        self.asked[request.url.path] += 1

        async def events() -> AsyncIterator[str]:
            nonlocal at
            with self._listening() as wake:
                while True:
                    wake.clear()
                    output = self.outputs.get(task_id, b"")
                    if at < len(output):
                        chunk = output[at : at + (1 << 16)]
                        chunk_at, at = at, at + len(chunk)
                        text = chunk.decode("utf-8", "replace")
                        data = json.dumps({"offset": chunk_at, "next_offset": at, "text": text})
                        yield f"event: log\ndata: {data}\n\n"
                    elif task_id in self.ended:
                        yield 'event: end\ndata: {"state": "completed", "exit_code": 0}\n\n'
                        return
                    else:
                        await wake.wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _ws(self, websocket: WebSocket) -> None:
        if websocket.headers.get("x-api-key") != self.key:
            await websocket.close(4401)
            return
        await websocket.accept()
        at = int(websocket.query_params.get("since", len(self.events)))
        self.asked["/ws"] += 1
        if at < self.replay_only_from:
            at = self.replay_only_from
            await websocket.send_json({"type": "lagged", "seq": at})
        try:
            with self._listening() as wake:
                while True:
                    wake.clear()
                    missed = self.events[at:]
                    for event in missed:
                        await websocket.send_text(json.dumps(event))
                    at += len(missed)
                    if not missed:
                        await wake.wait()
        except (WebSocketDisconnect, RuntimeError):
            return

    @contextmanager
    def _listening(self) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            yield wake
        finally:
            self._wakes.discard(wake)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": message, "code": code, "trace_id": "trace-1"}, status)


@contextmanager
def _no_signals(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn takes over the signals of the process it runs in; in a thread there are none to take."""
    server.capture_signals = _nothing  # type: ignore[method-assign]
    yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to that")
        time.sleep(0.002)


def main() -> None:
    """Serves until it is terminated; each line of its input, `INDEX STATE`, is something that happens."""
    engine = SmallEngine(Path(sys.argv[1]), int(sys.argv[2])).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for line in sys.stdin:
        index, state = line.split()
        engine.turns(int(index), state)


if __name__ == "__main__":
    main()
