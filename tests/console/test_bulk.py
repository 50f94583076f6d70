"""Marks, and what is done with many tasks at once: the question says what will happen, the line after it what did."""

from pathlib import Path
from typing import Any

from console.link import Trouble
from tests.console.canned import CannedLink, answers, task
from tests.console.screen import canned

DONE = {"done": ["7fk2q1ab", "7fk2q2cd"], "refused": {}}


def engine(**more: Any) -> CannedLink:
    return CannedLink({**answers(), "POST /v1/tasks/cancel": DONE, "DELETE /v1/tasks/7fk2q1ab": None, **more})


async def test_cancel_asks_and_n_leaves_all_as_it_is(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press("x")
        await screen.shows("cancel sweep-lr-003?", "what a running task has not written is lost")
        await screen.press("enter", "space", "n")
        await screen.hides("cancel sweep-lr-003?")
        assert screen.link.asked == []
        await screen.press("x", "y")
        await screen.shows("sweep-lr-003 is being cancelled")
        assert screen.link.asked == [("DELETE", "/v1/tasks/7fk2q1ab", None)]


async def test_marked_tasks_are_cancelled_together(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        await screen.press("space", "space")
        await screen.shows("2 marked")
        await screen.press("x")
        await screen.shows("cancel 2 tasks?", "sweep-lr-003", "sweep-lr-004", "2 run now.")
        await screen.press("y")
        await screen.shows("2 tasks cancelled")
        assert sorted(screen.link.asked[0][2]["ids"]) == ["7fk2q1ab", "7fk2q2cd"]
        await screen.hides("marked")


async def test_all_and_invert(tmp_path: Path) -> None:
    async with canned(tmp_path, link=engine()) as screen:
        total = screen.app.mirror.tasks.total
        await screen.press("*")
        await screen.shows(f"{total} marked")
        await screen.press("u")
        await screen.hides("marked")
        await screen.press("space", "~")
        await screen.shows(f"{total - 1} marked")
        await screen.press("x")
        await screen.shows("more have ended already and stay as they are.")


async def test_a_filter_is_cancelled_as_a_whole(tmp_path: Path) -> None:
    def window(query: dict[str, Any], _: object) -> Any:
        total = 3 if "state:collecting" in str(query.get("filter")) else 20
        return {
            "tasks": [{"job_name": f"sweep-{n}"} for n in range(5)] if query.get("limit") == 5 else [],
            "total": total,
            "seq": 1,
        }

    link = engine(**{"POST /v1/tasks/cancel": {"done": ["a"] * 18, "refused": {"b": "it has ended", "c": "gone"}}})
    async with canned(tmp_path, link=link) as screen:
        link.answers["GET /v1/tasks"] = window
        await screen.press(":")
        await screen.type("cancel name:sweep")
        await screen.press("enter")
        await screen.shows("cancel 20 tasks?", "sweep-0, sweep-1", "16 more", "3 run now, 17 have not started.")
        await screen.press("y")
        await screen.shows("18 tasks cancelled; 2 refused: it has ended")
        assert screen.link.asked[0][2]["filter"].startswith("name:sweep !state:")


async def test_retry_with_more_memory(tmp_path: Path) -> None:
    link = engine(**{"POST /v1/tasks/6zz10d5n/retry": {}})
    async with canned(tmp_path, (100, 60), link=link) as screen:
        screen.app.desk.queue.go_to("6zz10d5n")
        await screen.press(":")
        await screen.type("retry memory_gb=16 gpu=x")
        await screen.press("enter")
        await screen.shows("retry: 'gpu=x': 'x' is no number")
        await screen.press(":")
        await screen.type("retry memory_gb=16")
        await screen.press("enter")
        await screen.shows("retry pack-dataset?", "it asks for memory_gb 16")
        await screen.press("y")
        await screen.shows("pack-dataset is queued again")
        assert link.asked == [("POST", "/v1/tasks/6zz10d5n/retry", {"memory_gb": 16})]


async def test_priority_of_one_and_of_many(tmp_path: Path) -> None:
    link = engine(**{f"PATCH /v1/tasks/{one}": {} for one in ("9ab04d3h", "9ac05p4k")})
    async with canned(tmp_path, link=link) as screen:
        screen.app.desk.queue.go_to("9ab04d3h")
        await screen.press("+")
        await screen.shows("embed-corpus has priority 6")
        await screen.press("space", "space", ":")
        await screen.type("priority 9")
        await screen.press("enter")
        await screen.shows("priority of 2 tasks set")
        assert [body for _, _, body in link.asked] == [{"priority": 6}, {"priority": 9}, {"priority": 9}]


async def test_a_refusal_is_told_in_the_engines_words(tmp_path: Path) -> None:
    link = engine(**{"DELETE /v1/tasks/7fk2q1ab": Trouble("a viewer's key can't cancel", status=403)})
    async with canned(tmp_path, link=link) as screen:
        await screen.press("x", "y")
        await screen.shows("cancel: a viewer's key can't cancel")


async def test_pause_says_what_it_stops(tmp_path: Path) -> None:
    link = engine(**{"POST /v1/queue/pause": {}})
    async with canned(tmp_path, link=link) as screen:
        await screen.press("p")
        await screen.shows("pause the queue?", "13 queued tasks will wait", "what runs goes on to its end")
        await screen.press("y")
        await screen.shows("the queue is paused")


async def test_limit_of_a_group(tmp_path: Path) -> None:
    link = engine(**{"PUT /v1/queue/groups": {}})
    async with canned(tmp_path, link=link) as screen:
        for line, said in [
            ("limit sweep 2", "group sweep: 2 at once"),
            ("limit sweep none", "group sweep has no limit"),
            ("limit sweep", "write the group, then a number or none"),
        ]:
            await screen.press(":")
            await screen.type(line)
            await screen.press("enter")
            await screen.shows(said)
        assert [body["limit"] for _, _, body in link.asked] == [2, None]


async def test_copying_takes_the_whole_id(tmp_path: Path) -> None:
    class Terminal:
        said = ""

        def write(self, data: str) -> None:
            self.said += data

        def set_mouse(self, on: bool) -> None: ...

    async with canned(tmp_path) as screen:
        screen.app.terminal = terminal = Terminal()
        await screen.press("y")
        await screen.shows("7fk2q1ab copied")
        assert terminal.said == "" or "\x1b]52;c;N2ZrMnExYWI=" in terminal.said


async def test_a_retry_can_ask_for_more(tmp_path: Path) -> None:
    again = task("failed01", "pack-dataset", "queued")
    link = engine()
    async with canned(tmp_path, link=link) as screen:
        await screen.press("/")
        await screen.type("pack-dataset")
        await screen.press("enter")
        await screen.shows("1 match")
        failed = screen.app.desk.subject()
        assert failed is not None
        link.answers[f"POST /v1/tasks/{failed.id}/retry"] = again
        await screen.press("r", "e")
        await screen.shows(": retry memory_gb=")
        await screen.type("16")
        await screen.press("enter")
        await screen.shows("it asks for memory_gb 16")
        await screen.press("y")
        await screen.shows("pack-dataset is queued again")
        assert link.asked[-1] == ("POST", f"/v1/tasks/{failed.id}/retry", {"memory_gb": 16})


async def test_a_name_that_is_only_a_beginning_is_told_how_to_be_one(tmp_path: Path) -> None:
    nothing = {"tasks": [], "total": 0, "seq": 1}
    async with canned(tmp_path, link=engine()) as screen:
        screen.link.answers["GET /v1/tasks"] = nothing
        await screen.press(":")
        await screen.type("cancel name:sweep-")
        await screen.press("enter")
        await screen.shows("matches name:sweep-; name:begins* takes all")
