"""The command line with its verbs, put together."""

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


class _InOrder(click.Group):
    """Lists its verbs in the order in which one needs them."""

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
    """Show shopfloor at work, on an engine of its own that is gone afterwards."""
    from console.demo import run

    raise click.exceptions.Exit(run())


@shopfloor.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def engine(words: tuple[str, ...]) -> None:
    """Run, start, stop and inspect the engine: `shopfloor engine --help`."""
    from console.cli import become_engine

    become_engine(words)
