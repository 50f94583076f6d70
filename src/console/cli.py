"""`shopfloor`: with no verb the screen, with a verb the headless way."""

import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from console.client import Client, EngineGone, Refused, find_endpoint

_COMPLETING = "_SHOPFLOOR_COMPLETE"
"""The variable by which a shell asks for completions."""
_INTERRUPTED = 130
READER_GONE = 141
"""What a shell says of a program that wrote to a pipe which nobody reads any more: 128 and SIGPIPE."""
_CANNOT_WRITE = 1
_WRITING_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> NoReturn:
    """The command. Each way loads only what it needs: the version nothing, a verb no screen, the screen no verbs."""
    open_closed_streams()
    words = sys.argv[1:]
    if not words and _COMPLETING not in os.environ:
        sys.exit(open_console())
    if words == ["--version"]:
        from importlib.metadata import version

        print(f"shopfloor {version('shopfloor')}")
        sys.exit(0)
    if words[:1] == ["engine"]:
        become_engine(words[1:])
    sys.exit(run_verb())


def become_engine(words: Sequence[str]) -> NoReturn:
    """Replace this process by the engine's own command line."""
    os.execv(sys.executable, [sys.executable, "-m", "engine", *words])  # noqa: S606 - this is how a process replaces itself


def open_closed_streams() -> None:
    """Put the null device where a standard stream is closed: else the next file or socket takes its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good


def run_verb() -> int:
    """Run the verb that the command line names; its exit code. What it printed is out by then."""
    try:
        code = _run_verb()
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        if error.errno not in _WRITING_FAILED:
            raise
        print(f"shopfloor: the answer can't be written: {error.strerror}", file=sys.stderr)
        code = _CANNOT_WRITE
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still held goes nowhere, without a word
    return code


def _run_verb() -> int:
    import click

    from console.verbs.app import shopfloor
    from console.verbs.calling import explain

    try:
        code = shopfloor.main(prog_name="shopfloor", standalone_mode=False)
    except (EngineGone, Refused) as error:
        return explain(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def open_console() -> int:
    """The screen, on the engine of the home folder; one is started in the background where none answers."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(
            "shopfloor: the console needs a terminal; `shopfloor --help` lists what works without one", file=sys.stderr
        )
        return 2
    try:
        if not _answers():
            _start_engine()
    except EngineGone as error:
        print(f"shopfloor: {error}", file=sys.stderr)
        return 3
    from console.app import run

    return run()


def _answers() -> bool:
    """Whether an engine answers. A remote one that does not raises `EngineGone`: it can't be started from here."""
    remote = bool(os.environ.get("SHOPFLOOR_URL"))
    try:
        with Client(find_endpoint(), timeout_s=5) as client:
            client.get("/health")
    except EngineGone:
        if remote:
            raise
        return False
    except Refused:
        return True
    return True


def _start_engine() -> None:
    import subprocess

    started = subprocess.run(
        [sys.executable, "-m", "engine", "start"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    )
    if started.returncode != 0:
        raise EngineGone("the engine did not start; `shopfloor engine run` shows why")


if __name__ == "__main__":
    main()
