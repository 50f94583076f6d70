"""The command line with its verbs, put together."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from console.verbs import completion, floor, jupyter, logs, submit, tasks, waiting, work

_VERBS = (
    submit.submit,
    tasks.ls,
    tasks.show,
    logs.logs,
    waiting.wait,
    tasks.cancel,
    tasks.retry,
    floor.queue,
    floor.pause,
    floor.resume,
    floor.limit,
    floor.resources,
    floor.events,
    work.jobs,
    work.job,
    work.costs,
    work.approvals,
    work.approve,
    work.reject,
    jupyter.jupyter,
    completion.completion,
)

_ENGINE_WORDS: Mapping[tuple[str, ...], Sequence[str]] = {
    (): ("run", "start", "stop", "status", "doctor", "keys"),
    ("keys",): ("create", "list", "revoke"),
}


class _InOrder(click.Group):
    """Lists its verbs in the order in which one needs them."""

    def invoke(self, context: click.Context) -> Any:
        """Of a reader that has gone away click would say 1, which here means that the work failed."""
        from console.cli import READER_GONE

        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise click.exceptions.Exit(READER_GONE) from None

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="shopfloor", message="%(package)s %(version)s")
def shopfloor() -> None:
    """Run and watch work on the machines you share.

    With no verb: the console, with an engine started behind it where none answers.

    Leaves with 0 when done, 1 when the work failed, 2 for a wrong command, 3 when no engine answers.
    """


for _verb in _VERBS:
    shopfloor.add_command(_verb)


@shopfloor.command()
def demo() -> None:
    """See it at work. On an engine of its own that is gone afterwards."""
    from console.demo import run

    raise click.exceptions.Exit(run())


def _engine_words(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The engine's verbs, known here so that completing one does not load the engine."""
    before = context.params.get("words") or ()
    return [word for word in _ENGINE_WORDS.get(tuple(before), ()) if word.startswith(incomplete)]


@shopfloor.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, shell_complete=_engine_words)
def engine(words: tuple[str, ...]) -> None:
    """Run, start, stop and inspect the engine."""
    from console.cli import become_engine

    become_engine(words)
