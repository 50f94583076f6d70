"""`shopfloor engine ...`: run, start, stop and look at the engine of a home.

Exit codes: 0 done, 1 it failed, 2 wrong usage or settings, 3 no engine.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.configure import BadSettings, load_settings
from engine.local import EngineRefused, LocalEngine, read_engine_file
from engine.settings import Home, Settings

FAILED, USAGE, NO_ENGINE = 1, 2, 3

app = typer.Typer(
    name="shopfloor engine",
    help="The headless engine that runs the queue of this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="API keys: who may come in, and as what.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

HomeFlag = Annotated[Path | None, typer.Option("--home", help="The folder that holds everything (SHOPFLOOR_HOME).")]
HostFlag = Annotated[str | None, typer.Option(help="The address to listen on (default 127.0.0.1).")]
PortFlag = Annotated[int | None, typer.Option(help="The port to listen on (default 9101); 0 picks a free one.")]
OpenFlag = Annotated[
    bool | None, typer.Option("--open", help="Let harbor, synth and pipeline be used without a key; loopback only.")
]
CpuFlag = Annotated[int | None, typer.Option(help="Cores that tasks may take.")]
MemoryFlag = Annotated[int | None, typer.Option("--memory-gb", help="Memory that tasks may take, in GB.")]
GpusFlag = Annotated[str | None, typer.Option(help="GPU ids that tasks may take, such as 0,1; empty for none.")]
OnStopFlag = Annotated[
    Literal["leave", "drain"] | None,
    typer.Option("--on-stop", help="At SIGTERM: leave running tasks to the next engine, or wait for them."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    *,
    host: HostFlag = None,
    port: PortFlag = None,
    open_: OpenFlag = None,
    home: HomeFlag = None,
    cpu: CpuFlag = None,
    memory_gb: MemoryFlag = None,
    gpus: GpusFlag = None,
    on_stop: OnStopFlag = None,
    background: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the engine in the foreground; Ctrl-C or SIGTERM stops it."""
    settings = _settings(
        host=host, port=port, open=open_, home=home, cpu=cpu, memory_gb=memory_gb, gpus=_ids(gpus), on_stop=on_stop
    )
    from engine.daemon import StartError, serve

    try:
        serve(settings, background=background)
    except StartError as error:
        raise _end(FAILED, str(error)) from None


@app.command()
def start(
    *,
    host: HostFlag = None,
    port: PortFlag = None,
    open_: OpenFlag = None,
    home: HomeFlag = None,
    cpu: CpuFlag = None,
    memory_gb: MemoryFlag = None,
    gpus: GpusFlag = None,
    on_stop: OnStopFlag = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is ready.")] = 30.0,
) -> None:
    """Start the engine in the background and wait until it is ready. One that runs already is left alone."""
    flags = {"host": host, "port": port, "cpu": cpu, "memory-gb": memory_gb, "gpus": gpus, "on-stop": on_stop}
    settings = _settings(
        host=host, port=port, open=open_, home=home, cpu=cpu, memory_gb=memory_gb, gpus=_ids(gpus), on_stop=on_stop
    )
    from engine.background import StartFailed, start_in_background

    command = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    command += ["--open"] if open_ else []
    try:
        print(start_in_background(Home(settings.home), command, timeout))
    except StartFailed as error:
        raise _end(error.code, str(error)) from None


@app.command()
def stop(
    home: HomeFlag = None,
    drain: Annotated[bool, typer.Option("--drain", help="Wait until what runs has ended.")] = False,
    leave: Annotated[bool, typer.Option("--leave", help="Leave what runs to the next engine.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait until it is gone; default: as long as it takes.")
    ] = None,
) -> None:
    """Stop the engine and wait until it is gone."""
    if drain and leave:
        raise _end(USAGE, "--drain and --leave: choose one of them")
    from engine.background import stop_engine

    where = Home(_settings(home=home).home)
    mode: Literal["drain", "leave"] | None = "drain" if drain else "leave" if leave else None
    gone = stop_engine(where, mode, timeout)
    if gone is None:
        raise _end(NO_ENGINE, f"No engine runs on {where.root}")
    if not gone:
        raise _end(FAILED, f"The engine still runs after {timeout:g} s; what runs may need longer")


@app.command()
def status(home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Say whether an engine runs, where, and what it does."""
    where = Home(_settings(home=home).home)
    engine = LocalEngine(where)
    try:
        found = engine.status()
        if found is None:
            if as_json:
                print(json.dumps({"running": False, "home": str(where.root)}))
            raise _end(NO_ENGINE, _why_gone(where))
        queue = engine.ask("GET", "/v1/queue")
    except EngineRefused as error:
        raise _end(FAILED, str(error)) from None
    if as_json:
        print(json.dumps({"running": True, "home": str(where.root), **found, "queue": queue}))
        return
    state = "draining" if found["draining"] else "paused" if found["paused"] else "running"
    print(f"engine   {state}, version {found['version']}, pid {found['pid']}, since {found['started_at']}")
    print(f"url      {found['url']}")
    print(f"socket   {found['socket']}")
    print(f"home     {where.root}")
    print(f"queue    {queue['queued']} queued, {queue['running']} running")
    print(f"today    {queue['completed']} completed, {queue['failed']} failed")


@app.command()
def doctor(home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Name what is wrong on this machine and what to do about it."""
    settings = _settings(home=home)
    from engine import doctor as checks

    raise typer.Exit(checks.report(settings, as_json))


@keys_app.command("create")
def create_key(
    name: str,
    role: Annotated[Literal["viewer", "operator", "admin"], typer.Option(help="What the key may do.")] = "operator",
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and print it; it can't be shown again."""
    made = _keys(home, "create", {"name": name, "role": role})
    print(json.dumps(made) if as_json else made["key"])


@keys_app.command("list")
def list_keys(home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """List the keys, also revoked ones."""
    rows = _keys(home, "list", None)
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        state = f"revoked {row['revoked_at']}" if row.get("revoked_at") else "valid"
        print(f"{row['id']:<10} {row['name']:<24} {row['role']:<9} {row['prefix']}…  {row['created_at']}  {state}")


@keys_app.command("revoke")
def revoke_key(key_id: str, home: HomeFlag = None) -> None:
    """End a key at once. Its id stands first in `keys list`."""
    _keys(home, "revoke", key_id)


def _keys(home: Path | None, action: Literal["create", "list", "revoke"], what: Any) -> Any:
    from engine.control.errors import Problem
    from engine.keydesk import KeyDesk
    from engine.local import HomeTaken
    from engine.store.database import StoreError

    try:
        return KeyDesk(_settings(home=home)).do(action, what)
    except (EngineRefused, HomeTaken, Problem, StoreError) as error:
        raise _end(FAILED, str(error)) from None


def _settings(**flags: Any) -> Settings:
    try:
        return load_settings(flags)
    except BadSettings as error:
        raise _end(USAGE, str(error)) from None


def _ids(given: str | None) -> list[str] | None:
    return None if given is None else [part.strip() for part in given.split(",") if part.strip()]


def _why_gone(home: Home) -> str:
    left = read_engine_file(home)
    if left:
        return f"No engine answers on {home.root}; the last one (pid {left.get('pid')}) did not stop cleanly"
    return f"No engine runs on {home.root}"


def _end(code: int, message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(code)


def main() -> None:
    """The entry of `python -m engine`."""
    app(prog_name=os.environ.get("SHOPFLOOR_PROGRAM", "shopfloor engine"))
