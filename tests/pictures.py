"""Pictures of the overview, as SVG: a real engine with real work, at two sizes in three themes.

    python -m tests.pictures [FOLDER]        # default: tests/pictures/

The work is small and the machine's figures are set, so that it runs anywhere; it takes some ten seconds.
"""

import asyncio
import shutil
import sys
import time
from pathlib import Path

from console.app import Shopfloor
from console.client import Client, find_endpoint
from console.screens.overview import Overview
from tests.engine_process import EngineProcess, short_home

SIZES = ((80, 24), (200, 50))
THEMES = ("shopfloor", "paper", "monochrome")
WITHIN_S = 30.0

TRAIN = 'n=0; while [ $n -lt 5000 ]; do n=$((n+1)); echo "step $n  loss 1.$((900-n%700))  lr 2.0e-4"; sleep 0.05; done'


def work(client: Client) -> None:
    """A morning's queue: what has ended, what runs, what waits for room and for others."""

    def submit(name: str, script: str, **more: object) -> str:
        task = {"job_name": name, "command": ["sh", "-c", script], **more}
        return str(client.post("/v1/tasks", task)["id"])

    submit("fetch-weights", "echo fetched 4 files")
    submit("pack-dataset", "echo 'packing 1,204 shards'; echo 'no space left on device' >&2; exit 28")
    settled(client, ended=2)
    first = submit("sweep-lr-001", TRAIN, priority=7, cpu=2, memory_gb=8, gpu=1, group="sweep")
    for number in range(2, 5):
        submit(f"sweep-lr-{number:03d}", TRAIN, priority=7, cpu=2, memory_gb=8, gpu=1, group="sweep")
    submit("tokenize-shards", "echo 'shard 17 of 64'; sleep 600", cpu=4, memory_gb=16)
    for number in range(5, 13):
        submit(f"sweep-lr-{number:03d}", TRAIN, priority=7, cpu=2, memory_gb=8, gpu=1, group="sweep")
    submit("embed-corpus", "sleep 600", cpu=4, memory_gb=24, gpu=2)
    submit("evaluate-all", "sleep 60", after=[first])
    settled(client, ended=2, running=5)


def settled(client: Client, *, ended: int, running: int = 0) -> None:
    """Wait until that many tasks have ended and run. Raises `AssertionError` when it takes too long."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        states = client.get("/v1/queue")["by_state"]
        if sum(states.get(one, 0) for one in ("completed", "failed")) == ended and states.get("running", 0) == running:
            return
        assert time.monotonic() < deadline, f"the work did not get to where it should be: {states}"
        time.sleep(0.05)


async def picture(home: Path, size: tuple[int, int], theme: str) -> str:
    """The overview as SVG."""
    environment = {"LANG": "C.UTF-8", "SHOPFLOOR_CONSOLE__THEME": theme}
    app = Shopfloor(lambda: find_endpoint(home), folder=home / "config", environment=environment)
    async with app.run_test(size=size) as pilot:
        deadline = time.monotonic() + WITHIN_S
        while not _is_filled(app):
            assert time.monotonic() < deadline, "the overview was not filled"
            await pilot.pause(0.05)
        await pilot.pause(0.5)
        return app.export_screenshot(title="shopfloor")


def _is_filled(app: Shopfloor) -> bool:
    desk = app.desk
    log = desk.pane("log")
    return isinstance(desk, Overview) and app.mirror.tasks.total > 0 and log is not None and log.output_size > 0


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    engine = EngineProcess(short_home(), {"CPU": "16", "MEMORY_GB": "64", "GPUS": "[0,1,2,3]"})
    try:
        engine.start()
        with engine.client() as client:
            work(client)
        for size in SIZES:
            for theme in THEMES:
                file = folder / f"overview-{size[0]}x{size[1]}-{theme}.svg"
                file.write_text(asyncio.run(picture(engine.home, size, theme)))
                print(file)
    finally:
        engine.end()
        shutil.rmtree(engine.home, ignore_errors=True)


if __name__ == "__main__":
    main()
