"""`shopfloor submit`."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from console import printing
from console.client import Client, Endpoint
from console.verbs import calling, waiting
from engine.protocol.states import ExecutorName

_SNAPSHOT_WITHIN_S = 600.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\d{1,12}(?:\.\d+)?|(?:\d{1,12}(?:\.\d+)?[smhd])+", re.ASCII)
_DATASET = re.compile(r"(?P<name>[^=]+)=(?P<source>.+?)(?:,sha256=(?P<sha256>[^,]+))?(?:,at=(?P<mount_path>[^,]+))?")


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", metavar="[--] CMD...", nargs=-1, type=click.UNPROCESSED)
@click.option("--name", help="What to call it; default: the command's own name.")
@click.option("--priority", type=click.IntRange(1, 10), default=5, show_default=True, help="10 goes first.")
@click.option("--cpu", type=click.IntRange(0), default=1, show_default=True, help="Cores to hold.")
@click.option("--memory-gb", type=click.IntRange(0), default=0, help="Memory to hold, in GB.")
@click.option("--gpu", type=click.IntRange(0), default=0, help="GPUs to hold.")
@click.option("--image", help="A container image to run it in.")
@click.option(
    "--executor", type=click.Choice([one.value for one in ExecutorName]), default="process", help="What runs it."
)
@click.option(
    "--after", metavar="ID", multiple=True, shell_complete=calling.ids_starting, help="A task that must complete first."
)
@click.option("--retries", type=click.IntRange(0), default=0, help="How often to try again when it fails.")
@click.option("--timeout", metavar="TIME", help="Longest run of one attempt: 90, 90s, 10m, 2h, 1h30m.")
@click.option(
    "--snapshot",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder: run in a copy of it as it is now.",
)
@click.option("--experiment", help="The experiment that the snapshot belongs to.")
@click.option("--dataset", metavar="NAME=SOURCE[,sha256=HEX][,at=PATH]", multiple=True, help="Data to fetch first.")
@click.option("--args", help="Words for the snapshot's own entry script.")
@click.option("--group", help="A group whose parallel tasks may be limited.")
@click.option("--env", metavar="K[=V]", multiple=True, help="A variable; K alone passes on your own value.")
@click.option("--meta", metavar="K=V", multiple=True, help="Something to remember with the task.")
@click.option("--cwd", metavar="DIR", help="Where to run; default: here, or in the snapshot's copy.")
@click.option("--wait", is_flag=True, help="Wait for it; leave with its exit code.")
@calling.as_json
def submit(
    *,
    command: tuple[str, ...],
    name: str | None,
    priority: int,
    cpu: int,
    memory_gb: int,
    gpu: int,
    image: str | None,
    executor: str,
    after: tuple[str, ...],
    retries: int,
    timeout: str | None,
    snapshot: Path | None,
    experiment: str | None,
    dataset: tuple[str, ...],
    args: str | None,
    group: str | None,
    env: tuple[str, ...],
    meta: tuple[str, ...],
    cwd: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Queue a command and print its task's id."""
    if experiment is not None and snapshot is None:
        calling.fail("--experiment says where a snapshot belongs: give --snapshot DIR as well")
    with calling.connect(_SNAPSHOT_WITHIN_S if snapshot else 30) as client:
        request: dict[str, Any] = {
            "job_name": name or name_for(command, snapshot, experiment),
            "priority": priority,
            "cpu": cpu,
            "memory_gb": memory_gb,
            "gpu": gpu,
            "image": image,
            "executor": executor,
            "group": group,
            "max_retries": retries,
            "timeout_s": None if timeout is None else duration(timeout),
            "args": args,
            "command": list(command),
            "env": pairs("--env", env, os.environ),
            "metadata": pairs("--meta", meta),
            "dataset_specs": [dataset_spec(one) for one in dataset],
            "cwd": working_folder(client.endpoint, cwd, in_copy=not command or snapshot is not None),
            "after": calling.resolve_all(client, after),
        }
        if snapshot is not None:
            request["snapshot_id"] = store_snapshot(client, snapshot, experiment)
        task = client.post("/v1/tasks", {key: value for key, value in request.items() if value not in (None, {}, [])})
        if as_json:
            printing.document(task)
        else:
            printing.out(task["id"])
        if wait:
            raise click.exceptions.Exit(waiting.wait_for_one(client, task["id"]))


def name_for(command: Sequence[str], snapshot: Path | None, experiment: str | None) -> str:
    """A name that fits what a task may be called, from what is known of it."""
    if command:
        known = Path(command[0]).name
    elif snapshot is not None:
        known = experiment or snapshot.resolve().name
    else:
        calling.fail("nothing to run: end with `-- CMD...`, or give --snapshot DIR or the --name of an experiment")
    return re.sub(r"[^a-zA-Z0-9_-]+", "-", known).strip("-")[:64] or "task"


def duration(text: str) -> float:
    """Seconds: of a bare number, or of parts such as `1h30m`."""
    if not _DURATION.fullmatch(text):
        calling.fail(f"--timeout {text}: expected seconds, or parts such as 90s, 10m, 2h, 1h30m")
    if text[-1] not in _UNITS:
        return float(text)
    return sum(float(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"[\d.]+[smhd]", text))


def pairs(option: str, given: Sequence[str], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """`K=V` words as a mapping; a bare `K` takes its value from `known`."""
    found: dict[str, str] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key or (not equals and known is None):
            calling.fail(f"{option} {one}: expected KEY=VALUE")
        if not equals and known is not None:
            if key not in known:
                calling.fail(f"{option} {one}: no such variable here; expected KEY=VALUE, or one that is set")
            value = known[key]
        found[key] = value
    return found


def dataset_spec(text: str) -> dict[str, str]:
    parts = _DATASET.fullmatch(text)
    if parts is None:
        calling.fail(f"--dataset {text}: expected NAME=SOURCE[,sha256=HEX][,at=PATH]")
    spec = {name: value for name, value in parts.groupdict().items() if value is not None}
    if "://" not in spec["source"]:
        spec["source"] = str(Path(spec["source"]).absolute())
    return spec


def working_folder(endpoint: Endpoint, given: str | None, *, in_copy: bool) -> str | None:
    """What was given, else where you are; from where you are, if the engine shares this machine's files.

    In a copy, it is a folder of the copy, and nothing stands for its root.
    """
    if in_copy or not endpoint.is_local or (given and Path(given).is_absolute()):
        return given
    try:
        return str(Path.cwd() / (given or ""))
    except FileNotFoundError:
        calling.fail("the folder that you are in is gone: go elsewhere, or name a folder with --cwd")


def store_snapshot(client: Client, folder: Path, experiment: str | None) -> str:
    """Have the engine keep a copy of `folder`; the copy's id."""
    if client.endpoint.is_local:
        stored = client.post("/v1/snapshots", {"path": str(folder.resolve()), "experiment": experiment})
    else:
        from console.verbs import packing

        with packing.packed(folder) as archive:
            stored = client.upload("/v1/snapshots/archive", archive, "application/gzip", experiment=experiment)
    for note in stored.get("notes", []):
        printing.say(printing.plain(note))
    return str(stored["id"])
