"""`shopfloor jupyter start|ls|stop`."""

from typing import Any

import click

from console import printing
from console.printing import Column
from console.verbs import calling


@click.group()
def jupyter() -> None:
    """Notebooks: Jupyter servers in containers."""


@jupyter.command("start")
@click.argument("name")
@click.option("--workspace", help="The folder that it works in.")
@click.option("--image", help="The container image; default: the engine's.")
@calling.as_json
def start(*, name: str, workspace: str | None, image: str | None, as_json: bool) -> None:
    """Start a Jupyter server and print its address."""
    request = {"name": name, "workspace": workspace, "image": image}
    with calling.connect() as client:
        service = client.post(
            "/v1/jupyter/services", {key: value for key, value in request.items() if value is not None}
        )
    if as_json:
        printing.document(service)
    else:
        printing.out(service.get("url") or service["id"])


@jupyter.command("ls")
@calling.as_json
def ls(*, as_json: bool) -> None:
    """List Jupyter servers."""
    with calling.connect() as client:
        services = client.get("/v1/jupyter/services")
    if as_json:
        printing.document(services)
        return
    if not services:
        printing.say("no Jupyter server runs")
        return
    printing.table(
        (Column("ID"), Column("STATE", state=True), Column("NAME"), Column("AGE", right=True), Column("ADDRESS")),
        [_row(one) for one in services],
    )


def _row(service: dict[str, Any]) -> tuple[str, ...]:
    age = printing.since(service["created_at"])
    return (service["id"], service["status"], service["name"], age, service.get("url") or "-")


@jupyter.command("stop")
@click.argument("service", metavar="ID")
@calling.as_json
def stop(*, service: str, as_json: bool) -> None:
    """Stop a Jupyter server."""
    with calling.connect() as client:
        client.delete(f"/v1/jupyter/services/{service}")
    if as_json:
        printing.document({"id": service, "status": "stopped"})
    else:
        printing.out(f"{service} stopped")
