"""A link with canned answers, for pictures that must come out the same each time and for engines that refuse.

It keeps to `Link`'s shape: answers come on the loop, never in the call itself.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

from console.link import Answer, Trouble
from console.news import Changes, LinkState, News

Done = Callable[[Answer], None]


class NoTail:
    """A stream of output on which nothing comes."""

    ended = False
    broken = False

    def take(self) -> list[Any]:
        return []

    def close(self) -> None:
        pass


class CannedLink:
    """`answers`: (method and path) -> a value, a `Trouble`, or a function of (query, body) that makes one of them."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.state = LinkState("live", time.time())
        self.asked: list[tuple[str, str, Any]] = []
        self._on_news: Callable[[News], None] | None = None
        self._on_state: Callable[[LinkState], None] | None = None

    def start(self) -> Self:
        return self

    def attach(self, wake: Callable[[], None]) -> None:
        pass

    def collect(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def get(self, path: str, query: Mapping[str, object], done: Done) -> None:
        self._answer(f"GET {path}", dict(query), None, done)

    def ask(self, method: str, path: str, body: object = None, *, query: Any = None, done: Done) -> None:
        self.asked.append((method, path, body))
        self._answer(f"{method} {path}", query or {}, body, done)

    def tail(self, task_id: str, *, attempt: int, offset: int, heard: Callable[[], None]) -> NoTail:
        return NoTail()

    def follow(self, since: int | None, *, on_news: Any, on_state: Any) -> None:
        self._on_news, self._on_state = on_news, on_state
        on_state(self.state)

    def turn(self, phase: Any, since: float, detail: str = "") -> None:
        """The link is lost, or comes back."""
        self.state = LinkState(phase, since, detail)
        assert self._on_state is not None
        self._on_state(self.state)

    def happen(self, seq: int, task_id: str, **fields: Any) -> None:
        """A task changes."""
        assert self._on_news is not None
        news = News(seq=seq)
        news.tasks[task_id] = Changes(seq, fields)
        self._on_news(news)

    def _answer(self, what: str, query: Mapping[str, object], body: object, done: Done) -> None:
        found = self.answers.get(what, Trouble(f"{what}: not canned", status=404))
        if callable(found):
            found = found(query, body)
        answer = Answer(trouble=found) if isinstance(found, Trouble) else Answer(found)
        asyncio.get_running_loop().call_soon(done, answer)


def at(seconds: float) -> str:
    """A time on the wire."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


LONG_AGO = 1_767_350_000.0
"""In January 2026: a date whatever the day on which the tests run."""


def task(task_id: str, name: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": task_id,
        "job_name": name,
        "state": state,
        "status": "queued",
        "priority": 5,
        "created_at": at(LONG_AGO),
        "cpu": 1,
        "memory_gb": 0,
        "gpu": 0,
        **more,
    }


def workday(now: float) -> list[dict[str, Any]]:
    """Some tasks as they stand at a busy hour, live ones first."""
    running = {"started_at": at(now - 7_530), "attempt": 1, "cpu": 2, "memory_gb": 8, "gpu": 1}
    waiting = {"queued_at": at(LONG_AGO), "memory_gb": 24, "cpu": 4, "gpu": 2}
    ended = {"started_at": at(LONG_AGO), "ended_at": at(LONG_AGO + 340), "attempt": 1}
    return [
        task(
            "7fk2q1ab",
            "sweep-lr-003",
            "running",
            priority=7,
            gpu_ids=[0],
            group="sweep",
            **running,
            command=["python", "train.py", "--lr", "3e-4"],
        ),
        task(
            "7fk2q2cd",
            "sweep-lr-004",
            "running",
            priority=7,
            gpu_ids=[1],
            group="sweep",
            **running,
            command=["python", "train.py", "--lr", "1e-3"],
        ),
        task("8bb01x0e", "tokenize-shards", "collecting", **{**running, "gpu": 0, "cpu": 8}),
        task("8bc77y1f", "fetch-weights", "preparing", **{**running, "gpu": 0, "cpu": 1}),
        task("9ab01c2g", "review-release", "waiting", reason="you", queued_at=at(LONG_AGO)),
        task("9ab04d3h", "embed-corpus", "queued", **waiting),
        *(
            task(
                f"9ac{n:02d}p4k",
                f"sweep-lr-{n:03d}",
                "queued",
                queued_at=at(LONG_AGO),
                group="sweep",
                command=["python", "train.py", "--lr", f"{n}e-4"],
                cpu=2,
                memory_gb=8,
                gpu=1,
            )
            for n in range(5, 17)
        ),
        task("9ad0000m", "evaluate-all", "blocked", after=["7fk2q1ab"], queued_at=at(LONG_AGO)),
        task("6zz10d5n", "pack-dataset", "failed", exit_code=137, error="exit code 137", **ended),
        task("6zz10e6p", "sweep-lr-002", "completed", exit_code=0, group="sweep", **ended),
        task("6zz10f7q", "sweep-lr-001", "completed", exit_code=0, group="sweep", **ended),
        task("6zz10g8r", "render-figures", "cancelled", reason="cancelled by ana", **ended),
        task("6zz10h9s", "report", "skipped", reason="pack-dataset failed", **ended),
    ]


LOG = "".join(f"step {n:>5}  loss {2.3 - n / 900:.3f}  lr 2.0e-4  1.9 it/s\n" for n in range(380, 414))


def answers(now: float | None = None) -> dict[str, Any]:
    """A whole engine on a busy day."""
    now = time.time() if now is None else now
    tasks = workday(now)

    def window(query: Mapping[str, Any], _: object) -> Any:
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 50))
        found = [one for one in tasks if str(query.get("filter", "")) in one["job_name"]]
        return {
            "tasks": found[offset : offset + limit],
            "total": len(found),
            "offset": offset,
            "limit": limit,
            "seq": 90,
        }

    nothing = {"rows": [], "total": 0, "limit": 100, "offset": 0, "seq": 90}
    log = {
        "task_id": "7fk2q1ab",
        "attempt": 1,
        "offset": 0,
        "next_offset": len(LOG),
        "size": len(LOG),
        "text": LOG,
        "ended": False,
    }
    by_state: dict[str, int] = {}
    for one in tasks:
        by_state[one["state"]] = by_state.get(one["state"], 0) + 1
    return {
        "GET /v1/tasks": window,
        "GET /v1/queue": {
            "queued": by_state["queued"],
            "running": by_state["running"],
            "completed": 2,
            "failed": 3,
            "ended_today": {"completed": 2, "failed": 1, "cancelled": 1, "skipped": 1},
            "workers": 1,
            "by_state": by_state,
            "paused": False,
            "seq": 90,
        },
        "GET /v1/resources": {
            "worker_id": "w",
            "host": "gpu-box-1",
            "cpu_total": 16,
            "cpu_used": 13,
            "memory_gb_total": 64,
            "memory_gb_used": 31,
            "groups": [],
            "load": 3.0,
            "memory_available_bytes": 1 << 34,
            "disk_free_bytes": 1 << 38,
            "gpus": [
                {"index": n, "name": "H200", "task_id": held}
                for n, held in enumerate(["7fk2q1ab", "7fk2q2cd", None, None])
            ],
        },
        "GET /v1/status": {
            "worker_id": "w",
            "version": "0.1.0",
            "host": "gpu-box-1",
            "pid": 1,
            "started_at": at(LONG_AGO),
            "url": "",
            "socket": "",
            "paused": False,
            "draining": False,
            "database": "sqlite",
            "events": 90,
        },
        "GET /v1/events": nothing,
        "GET /v1/jobs": nothing,
        "GET /v1/phases": nothing,
        "GET /v1/approvals": nothing,
        "GET /v1/costs": {"today": "0", "total": "0", "daily_limit": None, "lines": [], "by": "job"},
        "GET /v1/jupyter/services": [],
        **{f"GET /v1/tasks/{one['id']}": one for one in tasks},
        **{f"GET /v1/tasks/{one['id']}/logs": log for one in tasks},
        **{f"GET /v1/tasks/{one['id']}/attempts": [] for one in tasks},
        **{f"GET /v1/tasks/{one['id']}/artifacts": [] for one in tasks},
        **{f"GET /v1/tasks/{one['id']}/events": [] for one in tasks},
        "GET /v1/tasks/7fk2q1ab/attempts": [
            {
                "task_id": "7fk2q1ab",
                "number": 1,
                "worker_id": "w",
                "claimed_at": at(now - 7_530),
                "started_at": at(now - 7_530),
                "pid": 4242,
                "gpu_ids": [0],
                "output_bytes": len(LOG),
            }
        ],
        "GET /v1/tasks/7fk2q1ab/usage": {
            "task_id": "7fk2q1ab",
            "attempt": 1,
            "cpu": 1.93,
            "memory_bytes": 6_871_947_673,
            "processes": 5,
        },
        "GET /v1/tasks/7fk2q1ab/artifacts": [
            {
                "id": "a1",
                "task_id": "7fk2q1ab",
                "attempt": 1,
                "path": "checkpoints/step-400.safetensors",
                "bytes": 1_288_490_188,
                "sha256": "9f" * 32,
                "created_at": at(now - 60),
            }
        ],
    }
