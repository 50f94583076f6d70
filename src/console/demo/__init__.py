"""`shopfloor demo`: an engine of its own in a throw-away home, with work that shows every pane."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from console import formats, printing
from console.client import Client, EngineGone, Refused, find_endpoint
from console.demo import workload
from console.stream import lasting_messages
from engine.protocol.states import ENDED

_PACE_ON_SCREEN = 2.0
_PACE_IN_A_PIPE = 0.3
_SWEEPS_ON_SCREEN = 40
_SWEEPS_IN_A_PIPE = 8
_PATIENCE_S = 120.0
_FREE_OF_TASKS_WITHIN_S = 20.0
_LONGEST_FOLDER = 70


def run() -> int:
    """Show shopfloor at work: on the screen if there is one, else as lines and a summary. The exit code."""
    on_screen = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with _leaving_cleanly(), _throw_away_engine() as client:
            if on_screen:
                _submit(client, _PACE_ON_SCREEN, _SWEEPS_ON_SCREEN)
                from console.app import run as show

                return show()
            return _tell(client)
    except (EngineGone, Refused) as error:
        printing.say(f"shopfloor demo: {error}")
        return 3 if isinstance(error, EngineGone) else 1


@contextmanager
def _leaving_cleanly() -> Iterator[None]:
    """A hang-up or TERM ends the demo as Ctrl-C does, so that nothing is left behind."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _throw_away_engine() -> Iterator[Client]:
    """An engine on a home that is gone afterwards, and with it the engine and all that it ran."""
    home = throw_away_home()
    for name in [name for name in os.environ if name.startswith("SHOPFLOOR_")]:
        del os.environ[name]
    os.environ |= {
        "SHOPFLOOR_HOME": str(home),
        "SHOPFLOOR_PORT": "0",
        "SHOPFLOOR_CPU": str(workload.CORES),
        "SHOPFLOOR_MEMORY_GB": str(workload.MEMORY_GB),
        "SHOPFLOOR_CANCEL_GRACE_S": "1",
        "SHOPFLOOR_KEEPER_IDLE_S": "2",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    try:
        _engine(home, "start")
        try:
            with Client(find_endpoint(home), timeout_s=30) as client:
                yield client
        finally:
            _end_tasks(home)
            _engine(home, "stop", "--leave", "--timeout=20")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def throw_away_home() -> Path:
    """A fresh folder whose path leaves room for the name of a socket, which many a `TMPDIR` does not."""
    name = "shopfloor-demo-"
    too_long = len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER
    return Path(tempfile.mkdtemp(prefix=name, dir="/tmp" if too_long else None))  # noqa: S108


def _engine(home: Path, *words: str) -> None:
    """Run a verb of the engine, which reads no one's settings file: a database named there is not for a demo."""
    ran = subprocess.run(
        [sys.executable, "-m", "engine", *words],
        env={**os.environ, "XDG_CONFIG_HOME": str(home / "config")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise EngineGone(f"`engine {words[0]}` failed: {ran.stderr.strip()}")


def _end_tasks(home: Path) -> None:
    """Start nothing more, cancel what is left, and wait until it is gone."""
    with suppress(EngineGone, Refused), Client(find_endpoint(home), timeout_s=30) as client:
        client.post("/v1/queue/pause", {"reason": "the demo ends"})
        # Once the queue is paused, cancelling can make nothing new ready: what is listed now is all there is.
        left = client.get("/v1/tasks", filter=f"!state:{','.join(sorted(ENDED))}", limit=1000)["tasks"]
        waited_for = {task["id"] for task in left}
        deadline = time.monotonic() + _FREE_OF_TASKS_WITHIN_S
        asked = False
        for message in lasting_messages(client.endpoint, _FREE_OF_TASKS_WITHIN_S):
            if not asked:
                client.post("/v1/tasks/cancel", {"ids": sorted(waited_for)})
                asked = True
            if message.get("data", {}).get("state") in ENDED:
                waited_for.discard(message["subject"])
            if not waited_for or time.monotonic() > deadline:
                return


def _submit(client: Client, pace: float, sweeps: int) -> dict[str, workload.Step]:
    """Queue the whole workload; the steps by the id of their task."""
    client.put("/v1/queue/groups", {"name": workload.GROUP, "limit": workload.GROUP_LIMIT})
    snapshot = client.post("/v1/snapshots", {"path": str(workload.PROJECT), "experiment": "demo"})
    ids: dict[str, str] = {}
    steps = {}
    for step in workload.steps(pace, sweeps):
        task = client.post("/v1/tasks", step.request(ids, snapshot["id"]))
        ids[step.name] = task["id"]
        steps[task["id"]] = step
    return steps


def _tell(client: Client) -> int:
    """Run the workload without a screen: a line for each change, then a summary. 0 when all went as it was meant to."""
    began = time.monotonic()
    since = client.get("/v1/queue")["seq"]
    steps = _submit(client, _PACE_IN_A_PIPE, _SWEEPS_IN_A_PIPE)
    printing.out(f"shopfloor demo: {formats.plural(len(steps), 'task')} on {workload.CORES} cores")
    _tell_of_a_refusal(client)
    ended = _follow(client, steps, since)
    _summarise(steps, ended, time.monotonic() - began)
    return 0 if all(ended.get(id_) == step.ends for id_, step in steps.items()) else 1


def _tell_of_a_refusal(client: Client) -> None:
    """An ask that this machine can never meet is turned away at once, rather than waiting for ever."""
    try:
        client.post("/v1/tasks", {"job_name": "too-large", "command": ["true"], "cpu": 10 * workload.CORES})
    except Refused as error:
        why = "; ".join(f"{one.field} {one.value}: {one.message}" for one in error.fields) or error.message
        printing.out(f"{'refused':<10}  too-large: {printing.plain(why)}")


def _follow(client: Client, steps: dict[str, workload.Step], since: int) -> dict[str, str]:
    """The state that each task ended in. The one that would never end is cancelled when it is the last."""
    ended: dict[str, str] = {}
    deadline = time.monotonic() + _PATIENCE_S
    for message in lasting_messages(client.endpoint, 10, since=since):
        id_, data = message.get("subject"), message.get("data", {})
        state = data.get("state")
        if id_ in steps and state is not None:
            why = data.get("error") or data.get("reason") or ""
            again = f" (attempt {data['attempt']})" if state == "running" and data.get("attempt", 1) > 1 else ""
            printing.out(printing.plain(f"{state:<10}  {steps[id_].name}{again}{f': {why}' if why else ''}"))
            sys.stdout.flush()
            if state in ENDED:
                ended[id_] = state
                left = [steps[other].name for other in steps if other not in ended]
                if left == [workload.NEVER_ENDING]:
                    client.post("/v1/tasks/cancel", {"filter": f"name:{workload.NEVER_ENDING}"})
        if len(ended) == len(steps) or time.monotonic() > deadline:
            break
    return ended


def _summarise(steps: dict[str, workload.Step], ended: dict[str, str], seconds: float) -> None:
    counts: dict[str, int] = {}
    for state in ended.values():
        counts[state] = counts.get(state, 0) + 1
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    printing.out()
    printing.out(f"{formats.plural(len(steps), 'task')} in {formats.age(seconds)}: {told}")
    for id_, step in steps.items():
        if (state := ended.get(id_, "not ended")) != step.ends:
            printing.out(f"{step.name}: {state}, where {step.ends} was meant")
