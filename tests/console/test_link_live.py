"""The mirror against a real engine: what runs is seen, a kill is survived, nothing of the stream is missed."""

import pytest

from console.client import Client, find_endpoint
from console.link import Link
from console.mirror import Mirror
from tests.conftest import MakeEngine
from tests.console.conftest import until

pytestmark = pytest.mark.live


def submit(client: Client, name: str, *command: str) -> str:
    return str(client.post("/v1/tasks", {"job_name": name, "command": list(command)})["id"])


async def test_sees_a_task_through_and_outlives_the_engine(make_engine: MakeEngine) -> None:
    engine = make_engine(CPU="2")
    endpoint = find_endpoint(engine.home)
    mirror = Mirror(Link(lambda: find_endpoint(engine.home)).start())
    mirror.start()
    try:
        await until(lambda: mirror.tasks.loaded and mirror.link.live)
        with Client(endpoint) as client:
            first = submit(client, "first", "sh", "-c", "echo hello; exec sleep 60")
            await until(lambda: [row.state for row in mirror.tasks.rows] == ["running"])
            await until(lambda: mirror.resources is not None and mirror.resources.cpu_used == 1)
        printed: list[str] = []
        tail = mirror.tail(first, attempt=1, offset=0, heard=lambda: printed.extend(c.text for c in tail.take()))
        await until(lambda: "".join(printed) == "hello\n")
        engine.kill()
        await until(lambda: mirror.stale)
        assert [row.id for row in mirror.tasks.rows] == [first]
        engine.start()
        await until(lambda: mirror.link.live and not mirror.tasks.stale)
        with Client(find_endpoint(engine.home)) as client:
            submit(client, "second", "true")
        await until(lambda: {row.job_name: row.state for row in mirror.tasks.rows}.get("second") == "completed")
        assert (await mirror.ask("DELETE", f"/v1/tasks/{first}")).ok
        await until(lambda: {row.job_name: row.state for row in mirror.tasks.rows}["first"] == "cancelled")
        seqs = [event.seq for event in mirror.events]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no event is missing and none came twice"
    finally:
        mirror.stop()
