"""`ls`, `show`, `cancel`, `retry`."""

from typing import Any

import click

from console import formats, printing
from console.client import Client, Refused
from console.printing import Column
from console.verbs import calling
from console.verbs.submit import duration
from engine.protocol.states import TaskState

_WINDOW = 1000
_COLUMNS = (
    Column("ID"),
    Column("STATE", state=True),
    Column("PRI", right=True),
    Column("NAME"),
    Column("ASKS"),
    Column("TRY", right=True),
    Column("AGE", right=True),
    Column("RAN", right=True),
    Column("WHAT"),
)


@click.command()
@calling.filter_
@click.option(
    "--state", type=click.Choice([one.value for one in TaskState]), multiple=True, help="Only tasks in this state."
)
@click.option("--sort", default="order", help="A field, `-` before it to turn it round; default: as they will run.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most this many.")
@calling.as_json
def ls(*, filter_: str | None, state: tuple[str, ...], sort: str, limit: int, as_json: bool) -> None:
    """List tasks. First what runs, then what waits, then what ended, the newest first."""
    terms = [filter_ or "", f"state:{','.join(state)}" if state else ""]
    with calling.connect() as client:
        answer = window(client, " ".join(term for term in terms if term), sort, limit)
    if as_json:
        printing.document(answer)
        return
    printing.table(_COLUMNS, [_row(task) for task in answer["tasks"]])
    shown, total = len(answer["tasks"]), answer["total"]
    if shown < total:
        printing.say(f"{shown:,} of {formats.plural(total, 'task')}; --limit shows more")


def window(client: Client, filter_: str, sort: str, limit: int) -> dict[str, Any]:
    """The first `limit` tasks, asked for in windows of the size that the engine gives."""
    answer: dict[str, Any] = {}
    tasks: list[dict[str, Any]] = []
    while True:
        wanted = min(_WINDOW, limit - len(tasks))
        answer = client.get("/v1/tasks", filter=filter_, sort=sort, limit=wanted, offset=len(tasks))
        tasks += answer["tasks"]
        if len(tasks) >= min(limit, answer["total"]) or not answer["tasks"]:
            return {**answer, "tasks": tasks, "limit": limit, "offset": 0}


def _row(task: dict[str, Any]) -> tuple[str, ...]:
    return (
        task["id"],
        task["state"],
        str(task["priority"]),
        task["job_name"],
        printing.ask_of(task),
        str(task["attempt"]),
        printing.since(task["created_at"]),
        printing.since(task.get("started_at"), task.get("ended_at")),
        printing.why_of(task) or printing.command_of(task),
    )


@click.command()
@calling.task_id
@calling.as_json
def show(*, task: str, as_json: bool) -> None:
    """Show one task: facts, attempts, what it left."""
    with calling.connect() as client:
        id_ = calling.resolve(client, task)
        found = client.get(f"/v1/tasks/{id_}")
        attempts = client.get(f"/v1/tasks/{id_}/attempts")
        artifacts = client.get(f"/v1/tasks/{id_}/artifacts")
    if as_json:
        printing.document({**found, "attempts": attempts, "artifacts": artifacts})
        return
    printing.facts(_facts(found))
    if attempts:
        printing.out()
        _print_attempts(attempts)
    if artifacts:
        printing.out()
        printing.table(
            (Column("ARTIFACT"), Column("TRY", right=True), Column("SIZE", right=True), Column("SHA-256")),
            [(one["path"], str(one["attempt"]), formats.size(one["bytes"]), one["sha256"]) for one in artifacts],
        )


def _facts(task: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [
        ("id", task["id"]),
        ("name", task["job_name"]),
        ("state", task["state"]),
        ("why", printing.why_of(task)),
        ("exit code", None if task.get("exit_code") is None else str(task.get("exit_code"))),
        ("command", printing.command_of(task)),
        ("in", task.get("cwd")),
        ("snapshot", task.get("snapshot_id")),
        ("image", task.get("image")),
        ("executor", task["executor"]),
        ("priority", str(task["priority"])),
        ("asks", printing.ask_of(task)),
        ("gpu ids", ",".join(str(gpu) for gpu in task["gpu_ids"])),
        ("group", task.get("group")),
        ("after", " ".join(task["after"])),
        ("retries", f"{task['retry_count']} of {task['max_retries']}" if task["max_retries"] else None),
        ("timeout", f"{task['timeout_s']:g} s" if task.get("timeout_s") else None),
        ("submitted", printing.when(task["created_at"])),
        ("started", printing.when(task.get("started_at")) if task.get("started_at") else None),
        ("ended", printing.when(task.get("ended_at")) if task.get("ended_at") else None),
        ("by", task.get("user_id")),
        *((f"meta {key}", value) for key, value in sorted(task["metadata"].items())),
    ]


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    printing.table(
        (
            Column("TRY", right=True),
            Column("OUTCOME", state=True),
            Column("STARTED"),
            Column("RAN", right=True),
            Column("CODE", right=True),
            Column("OUTPUT", right=True),
            Column("WHY"),
        ),
        [
            (
                str(one["number"]),
                one.get("outcome") or "running",
                printing.when(one.get("started_at")),
                printing.since(one.get("started_at"), one.get("ended_at")),
                _code(one),
                formats.size(one["output_bytes"]),
                one.get("error") or "",
            )
            for one in attempts
        ],
    )


def _code(attempt: dict[str, Any]) -> str:
    if attempt.get("signal") is not None:
        return f"sig {attempt.get('signal')}"
    return "-" if attempt.get("exit_code") is None else str(attempt.get("exit_code"))


@click.command()
@calling.maybe_task_ids
@calling.filter_
@calling.as_json
def cancel(*, ids: tuple[str, ...], filter_: str | None, as_json: bool) -> None:
    """Cancel tasks. What runs is ended, with all that it started; what waits never starts."""
    with calling.connect() as client:
        result = client.post("/v1/tasks/cancel", calling.chosen(client, ids, filter_))
    _tell("cancelled", result, as_json=as_json)


@click.command()
@calling.maybe_task_ids
@calling.filter_
@click.option("--priority", type=click.IntRange(1, 10), help="From now on: 10 goes first.")
@click.option("--cpu", type=click.IntRange(0), help="From now on: cores to hold.")
@click.option("--memory-gb", type=click.IntRange(0), help="From now on: memory to hold, in GB.")
@click.option("--gpu", type=click.IntRange(0), help="From now on: GPUs to hold.")
@click.option("--retries", "max_retries", type=click.IntRange(0), help="From now on: tries after a failure.")
@click.option("--timeout", metavar="TIME", help="From now on: longest run of one attempt.")
@calling.as_json
def retry(*, ids: tuple[str, ...], filter_: str | None, timeout: str | None, as_json: bool, **asks: int | None) -> None:
    """Queue ended tasks once more. Each gets a new attempt, with other asks if you give some."""
    change: dict[str, float] = {name: value for name, value in asks.items() if value is not None}
    if timeout is not None:
        change["timeout_s"] = duration(timeout)
    if change and filter_:
        calling.fail("other asks go with ids, not with --filter")
    with calling.connect() as client:
        chosen = calling.chosen(client, ids, filter_)
        result = _retry_changed(client, chosen["ids"], change) if change else client.post("/v1/tasks/retry", chosen)
    _tell("queued again", result, as_json=as_json)


def _retry_changed(client: Client, ids: list[str], change: dict[str, float]) -> dict[str, Any]:
    """As a bulk request answers. What is wrong with the change itself is wrong for all, and raised."""
    done: list[str] = []
    refused: dict[str, str] = {}
    for id_ in ids:
        try:
            client.post(f"/v1/tasks/{id_}/retry", change)
        except Refused as error:
            if error.fields:
                raise
            refused[id_] = error.message
        else:
            done.append(id_)
    return {"done": done, "refused": refused}


def _tell(done: str, result: dict[str, Any], *, as_json: bool) -> None:
    """What became of each of the tasks."""
    if as_json:
        printing.document(result)
    else:
        for id_ in result["done"]:
            printing.out(f"{id_} {done}")
        for id_, why in result["refused"].items():
            printing.say(f"shopfloor: {id_} was not {done}: {printing.plain(why)}")
        if not result["done"] and not result["refused"]:
            printing.say("shopfloor: no task matches")
    if result["refused"]:
        raise click.exceptions.Exit(calling.Exit.FAILED)
