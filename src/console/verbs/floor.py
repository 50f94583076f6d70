"""The queue and the machine: `queue`, `pause`, `resume`, `limit`, `resources`, `events`."""

from typing import Any

import click

from console import formats, printing
from console.printing import Column
from console.stream import lasting_messages
from console.verbs import calling, waiting


@click.command()
@calling.as_json
def queue(*, as_json: bool) -> None:
    """Count tasks by state. Says also whether the queue is paused, by whom and why."""
    with calling.connect() as client:
        stats = client.get("/v1/queue")
    if as_json:
        printing.document(stats)
        return
    printing.facts(_paused(stats))
    printing.table(
        (Column("STATE", state=True), Column("TASKS", right=True)),
        [(state, f"{count:,}") for state, count in stats["by_state"].items() if count],
    )


def _paused(stats: dict[str, Any]) -> list[tuple[str, str | None]]:
    by = f" by {stats.get('paused_by')}" if stats.get("paused_by") else ""
    at = f" {printing.since(stats.get('paused_at'))} ago" if stats.get("paused_at") else ""
    return [
        ("queue", f"paused{by}{at}" if stats["paused"] else "open"),
        ("reason", stats.get("paused_reason")),
    ]


@click.command()
@click.argument("reason", required=False)
@calling.as_json
def pause(*, reason: str | None, as_json: bool) -> None:
    """Start no further task. What runs goes on. `queue` tells REASON to everyone."""
    with calling.connect() as client:
        stats = client.post("/v1/queue/pause", {"reason": reason})
    if as_json:
        printing.document(stats)
    else:
        printing.out("the queue is paused; what runs goes on")


@click.command()
@calling.as_json
def resume(*, as_json: bool) -> None:
    """Start tasks again after a pause."""
    with calling.connect() as client:
        stats = client.post("/v1/queue/resume")
    if as_json:
        printing.document(stats)
    else:
        printing.out("the queue is open")


@click.command()
@click.argument("group")
@click.argument("most", metavar="N|none")
@calling.as_json
def limit(*, group: str, most: str, as_json: bool) -> None:
    """Limit how many of a group run at once. `none` lifts the limit."""
    if most != "none" and not most.isdigit():
        calling.fail(f"limit {most}: expected a number from 0 on, or none")
    with calling.connect() as client:
        answer = client.put("/v1/queue/groups", {"name": group, "limit": None if most == "none" else int(most)})
    if as_json:
        printing.document(answer)
    else:
        printing.out(f"{group}: {'no limit' if most == 'none' else f'{most} at once'}")


@click.command()
@calling.as_json
def resources(*, as_json: bool) -> None:
    """Show what there is, and what tasks have taken."""
    with calling.connect() as client:
        found = client.get("/v1/resources")
    if as_json:
        printing.document(found)
        return
    printing.facts(
        [
            ("host", found["host"]),
            ("cpu", f"{found['cpu_used']} of {found['cpu_total']}"),
            ("memory", f"{found['memory_gb_used']} of {found['memory_gb_total']} GB"),
            ("load", f"{found['load']:.2f}"),
            ("free memory", formats.size(found["memory_available_bytes"])),
            ("free disk", formats.size(found["disk_free_bytes"])),
            ("reserved for", found.get("reserved_for")),
        ]
    )
    if found["gpus"]:
        printing.out()
        printing.table(
            (Column("GPU", right=True), Column("NAME"), Column("TASK"), Column("MEMORY"), Column("BUSY", right=True)),
            [_gpu(one) for one in found["gpus"]],
        )
    if found["groups"]:
        printing.out()
        printing.table(
            (
                Column("GROUP"),
                Column("LIMIT", right=True),
                Column("RUNNING", right=True),
                Column("QUEUED", right=True),
            ),
            [
                (
                    one["name"],
                    "-" if one.get("limit") is None else str(one.get("limit")),
                    str(one["running"]),
                    str(one["queued"]),
                )
                for one in found["groups"]
            ],
        )


def _gpu(gpu: dict[str, Any]) -> tuple[str, ...]:
    memory = "-"
    if gpu.get("memory_total"):
        memory = f"{formats.size(gpu.get('memory_used') or 0)} of {formats.size(gpu['memory_total'])}"
    busy = "-" if gpu.get("busy") is None else f"{gpu.get('busy'):.0%}"
    return (str(gpu["index"]), gpu["name"], gpu.get("task_id") or "-", memory, busy)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens.")
@click.option("--since", type=click.IntRange(0), help="Begin after this sequence number.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most this many old ones."
)
@calling.as_json
def events(*, follow: bool, since: int | None, limit: int, as_json: bool) -> None:
    """Show what happened, oldest first. `--json` prints an event a line."""
    with calling.connect() as client:
        begin = since
        if begin is None:
            begin = max(0, client.get("/v1/queue")["seq"] - limit)
        seen = begin
        for event in client.get("/v1/events", since=begin, limit=limit)["rows"]:
            _print_event(event, as_json=as_json)
            seen = event["seq"]
        if not follow:
            return
        for message in lasting_messages(client.endpoint, waiting.PATIENCE_S, since=seen):
            if message["type"] == "lagged":
                printing.say(f"shopfloor: this reader fell behind; going on from event {message['seq']}")
            elif message["type"] != "open":
                _print_event(message, as_json=as_json)


def _print_event(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        printing.line(event)
        return
    data = event["data"]
    name = f" {data['job_name']}" if "job_name" in data else ""
    why = data.get("error") or data.get("reason") or ""
    text = f"{event['seq']:>8}  {printing.when(event['at'])}  {event['kind']:<18}  {event['subject']}{name}"
    print(printing.plain(f"{text}{f': {why}' if why else ''}"), flush=True)
