"""What every verb shares: reaching the engine, naming tasks, and what an exit code means."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from console import printing
from console.client import Client, EngineGone, FieldProblem, Refused, find_endpoint


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_ENGINE = 3


_OUR_FAULT = 500
_USAGE = {400, 401, 403, 404, 405, 422}
_PREFIX_LIMIT = 6
_OPTIONS = {
    "job_name": "--name",
    "priority": "--priority",
    "cpu": "--cpu",
    "memory_gb": "--memory-gb",
    "gpu": "--gpu",
    "image": "--image",
    "executor": "--executor",
    "group": "--group",
    "max_retries": "--retries",
    "timeout_s": "--timeout",
    "cwd": "--cwd",
    "env": "--env",
    "metadata": "--meta",
    "path": "--snapshot",
    "filter": "--filter",
    "sort": "--sort",
}
"""The engine names fields; a person at a shell gave options."""
_PATTERNS = {
    "^[a-zA-Z0-9_-]+$": "only letters, digits, _ and - are allowed",
    "^[a-zA-Z0-9_.-]+$": "only letters, digits, _, . and - are allowed",
}


def connect(timeout_s: float = 30) -> Client:
    return Client(find_endpoint(), timeout_s)


def fail(message: str, code: Exit = Exit.USAGE) -> NoReturn:
    """End the verb with a message on stderr."""
    printing.say(f"shopfloor: {printing.plain(message)}")
    raise click.exceptions.Exit(code)


def explain(error: Refused | EngineGone) -> Exit:
    """Say on stderr what went wrong; the code to leave with."""
    if isinstance(error, EngineGone):
        printing.say(f"shopfloor: {error}")
        return Exit.NO_ENGINE
    told = [printing.plain(_told(problem)) for problem in error.fields]
    if len(told) == 1 and error.message.startswith(f"{error.fields[0].field}: "):
        printing.say(f"shopfloor: {told[0]}")  # the message says the same, without the value
    else:
        printing.say(f"shopfloor: {printing.plain(error.message)}")
        for one in told:
            printing.say(f"  {one}")
    if error.retry_after_s is not None:
        printing.say(f"  try again in {error.retry_after_s:g} s")
    if error.status == _OUR_FAULT and error.trace_id:
        printing.say(f"  the engine's log says more under trace id {error.trace_id}")
    return Exit.USAGE if error.status in _USAGE else Exit.FAILED


def _told(problem: FieldProblem) -> str:
    """What is wrong with one input, by the name that it has on the command line."""
    name = _OPTIONS.get(problem.field, problem.field)
    given = "" if problem.value is None or problem.value in problem.message else f" (given: {problem.value})"
    message = problem.message
    for pattern, words in _PATTERNS.items():
        message = message.replace(f"String should match pattern '{pattern}'", words)
    return f"{name}: {message}{given}"


def resolve(client: Client, given: str) -> str:
    """The id of the one task whose id starts with `given`; ends the verb when there is none, or more than one."""
    if not given.isascii() or not given.isalnum():
        fail(f"{given!r} is not a task's id: expected its first letters and digits")
    answer = client.get("/v1/tasks", filter=f"id:{given}", limit=_PREFIX_LIMIT)
    found = [task["id"] for task in answer["tasks"]]
    if given in found:
        return given
    if not found:
        fail(f"no task has an id that starts with {given}")
    if len(found) > 1:
        more = answer["total"] - len(found)
        fail(f"{given} is the start of several ids: {', '.join(found)}{f' and {more} more' if more else ''}")
    return str(found[0])


def resolve_all(client: Client, given: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(resolve(client, one) for one in given))


def chosen(client: Client, ids: Sequence[str], filter_: str | None) -> dict[str, Any]:
    """The body of a bulk request: ids, or a filter, and not both."""
    if bool(ids) == bool(filter_):
        fail("name tasks by their ids, or choose them with --filter")
    return {"filter": filter_} if filter_ else {"ids": resolve_all(client, ids)}


def ids_starting(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids for shell completion, the newest first, each with its task's name and state; none when no engine answers."""
    try:
        with Client(find_endpoint(), timeout_s=1) as client:
            query = f"id:{incomplete}" if incomplete.isalnum() else ""
            tasks = client.get("/v1/tasks", filter=query, sort="-created_at", limit=50)["tasks"]
    except (EngineGone, Refused):
        return []
    return [CompletionItem(task["id"], help=f"{task['job_name']} {task['state']}") for task in tasks]


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
task_id = click.argument("task", metavar="ID", shell_complete=ids_starting)
task_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=ids_starting)
maybe_task_ids = click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=ids_starting)
filter_ = click.option(
    "--filter",
    "filter_",
    metavar="TEXT",
    help="Only tasks that match: words, /regex/, field:value, each inverted by a leading `!`.",
)
