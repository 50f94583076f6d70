"""`shopfloor wait`: until tasks end, woken by the event stream."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from console import printing
from console.client import Client, EngineGone
from console.stream import lasting_messages
from console.verbs import calling
from engine.protocol.states import ENDED, TaskState

PATIENCE_S = 60.0
"""An engine that restarts is waited for this long; the tasks go on meanwhile."""


@click.command()
@calling.task_ids
@calling.as_json
def wait(*, ids: tuple[str, ...], as_json: bool) -> None:
    """Wait until tasks end. Leaves with the exit code of the first one, in your order, that did not complete."""
    with calling.connect() as client:
        wanted = calling.resolve_all(client, ids)
        ended = wait_for(client, wanted)
        code = first_code(client, (ended[id_] for id_ in wanted))
    if as_json:
        printing.document([ended[id_] for id_ in wanted])
    else:
        for id_ in wanted:
            printing.say(told(ended[id_]))
    raise click.exceptions.Exit(code)


def wait_for_one(client: Client, id_: str) -> int:
    """Wait for the task and tell how it ended; the code to leave with."""
    task = wait_for(client, [id_])[id_]
    printing.say(told(task))
    return code_of(client, task)


def wait_for(client: Client, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Each task as it ended, by id."""
    ended: dict[str, dict[str, Any]] = {}
    for task in changes(client, ids):
        if task["state"] in ENDED:
            ended[task["id"]] = task
        if len(ended) == len(ids):
            break
    return ended


def changes(client: Client, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The tasks as they are now, and each again when something happened to it; over restarts of the engine.

    Raises `EngineGone` when none answers for `PATIENCE_S`.
    """
    for message in lasting_messages(client.endpoint, PATIENCE_S):
        # What happened before the stream opened says nothing any more: look at each once.
        about = ids if message["type"] in {"open", "lagged"} else [message.get("subject")]
        for id_ in about:
            if id_ in ids:
                try:
                    task = client.get(f"/v1/tasks/{id_}")
                except EngineGone:
                    break  # the stream broke as well: once it is open again, all are looked at
                yield task


def first_code(client: Client, tasks: Iterable[dict[str, Any]]) -> int:
    return next((code for task in tasks if (code := code_of(client, task))), 0)


def code_of(client: Client, task: dict[str, Any]) -> int:
    """A task's exit code; 128 and its number for a signal; 1 when it failed without either."""
    if task["state"] == TaskState.COMPLETED:
        return 0
    if task.get("exit_code"):
        return int(task["exit_code"])
    if task["attempt"]:
        last = client.get(f"/v1/tasks/{task['id']}/attempts")[-1]
        if last.get("signal"):
            return 128 + int(last["signal"])
    return int(calling.Exit.FAILED)


def told(task: dict[str, Any]) -> str:
    """One line on how a task ended."""
    why = printing.why_of(task)
    took = f" after {printing.since(task.get('started_at'), task.get('ended_at'))}" if task.get("started_at") else ""
    return printing.plain(f"{task['id']} {task['job_name']} {task['state']}{took}{f': {why}' if why else ''}")
