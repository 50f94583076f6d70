"""Jobs, what they cost, and what they ask of people: `jobs`, `job start`, `costs`, `approvals`, `approve`, `reject`."""

from typing import Any

import click

from console import formats, printing
from console.client import Refused
from console.printing import Column
from console.verbs import calling
from console.verbs.submit import pairs

_COSTS_BY = ("model", "provider", "job", "phase", "agent", "day")
_NO_SUCH_ROUTE = {404, 405}


@click.group()
def job() -> None:
    """Start a job: a graph of phases of some kind."""


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most this many.")
@calling.as_json
def jobs(*, limit: int, as_json: bool) -> None:
    """List jobs, the newest first."""
    with calling.connect() as client:
        answer = client.get("/v1/jobs", limit=limit)
    if as_json:
        printing.document(answer)
        return
    if not answer["rows"]:
        printing.say("no jobs yet")
        return
    printing.table(
        (
            Column("ID"),
            Column("STATE", state=True),
            Column("KIND"),
            Column("NAME"),
            Column("PHASE"),
            Column("DONE", right=True),
            Column("COST", right=True),
            Column("AGE", right=True),
            Column("WHY"),
        ),
        [_row(one) for one in answer["rows"]],
    )


def _row(job_: dict[str, Any]) -> tuple[str, ...]:
    return (
        job_["id"],
        job_["state"],
        job_["kind"],
        job_["name"],
        job_.get("phase") or "-",
        f"{job_['phases_done']}/{job_['phases_total']}",
        formats.money(job_["cost"]),
        printing.since(job_["created_at"]),
        job_.get("error") or "",
    )


@job.command("start")
@click.argument("kind")
@click.option("--param", metavar="K=V", multiple=True, help="A parameter of the job.")
@calling.as_json
def start(*, kind: str, param: tuple[str, ...], as_json: bool) -> None:
    """Start a job and print its id."""
    parameters = pairs("--param", param)
    with calling.connect() as client:
        try:
            started = client.post("/v1/jobs", {"kind": kind, "parameters": parameters})
        except Refused as error:
            if error.status not in _NO_SUCH_ROUTE:
                raise
            calling.fail(f"KIND {kind}: this engine knows no such kind of job")
    if as_json:
        printing.document(started)
    else:
        printing.out(started["id"])


@click.command()
@click.option("--by", type=click.Choice(_COSTS_BY), default="model", show_default=True, help="What each line adds up.")
@calling.as_json
def costs(*, by: str, as_json: bool) -> None:
    """What calls to models cost, today and in all."""
    with calling.connect() as client:
        answer = client.get("/v1/costs", by=by)
    if as_json:
        printing.document(answer)
        return
    limit = answer.get("daily_limit")
    printing.facts(
        [
            ("today", formats.money(answer["today"]) + (f" of {formats.money(limit)}" if limit is not None else "")),
            ("in all", formats.money(answer["total"])),
        ]
    )
    if answer["lines"]:
        printing.out()
        printing.table(
            (
                Column(by.upper()),
                Column("CALLS", right=True),
                Column("INPUT", right=True),
                Column("OUTPUT", right=True),
                Column("COST", right=True),
                Column("UNPRICED", right=True),
            ),
            [
                (
                    one["key"],
                    f"{one['calls']:,}",
                    f"{one['input_tokens']:,}",
                    f"{one['output_tokens']:,}",
                    formats.money(one["cost"]),
                    f"{one['unpriced']:,}" if one["unpriced"] else "-",
                )
                for one in answer["lines"]
            ],
        )


@click.command()
@calling.as_json
def approvals(*, as_json: bool) -> None:
    """List what waits for a person's decision."""
    with calling.connect() as client:
        answer = client.get("/v1/approvals")
    if as_json:
        printing.document(answer)
        return
    if not answer["rows"]:
        printing.say("nothing waits for a decision")
        return
    printing.table(
        (Column("ID"), Column("STATE", state=True), Column("KIND"), Column("AGE", right=True), Column("WHAT")),
        [
            (one["id"], one["state"], one["kind"], printing.since(one["created_at"]), one["title"])
            for one in answer["rows"]
        ],
    )


_reason = click.option("--reason", help="Why; kept with the decision.")


@click.command()
@click.argument("approval", metavar="ID")
@_reason
@calling.as_json
def approve(*, approval: str, reason: str | None, as_json: bool) -> None:
    """Approve what waits for a decision."""
    _decide("approve", approval, reason, as_json=as_json)


@click.command()
@click.argument("approval", metavar="ID")
@_reason
@calling.as_json
def reject(*, approval: str, reason: str | None, as_json: bool) -> None:
    """Reject what waits for a decision."""
    _decide("reject", approval, reason, as_json=as_json)


def _decide(verb: str, approval: str, reason: str | None, *, as_json: bool) -> None:
    with calling.connect() as client:
        waiting = client.get("/v1/approvals", limit=1000)["rows"]
        found = [one for one in waiting if one["id"].startswith(approval)]
        if not waiting:
            calling.fail(f"nothing waits for a decision, so {approval} can't be decided")
        if len(found) != 1:
            named = formats.named([one["id"] for one in found or waiting])
            calling.fail(f"{approval} names {'several' if found else 'nothing'} that waits: {named}")
        answer = client.post(f"/v1/approvals/{found[0]['id']}/{verb}", {"digest": found[0]["digest"], "reason": reason})
    if as_json:
        printing.document(answer)
    else:
        printing.out(f"{found[0]['id']} {'approved' if verb == 'approve' else 'rejected'}")
