"""`shopfloor completion SHELL`."""

import click
from click.shell_completion import get_completion_class

from console import printing

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print a script that completes verbs and ids. It knows options too.

    In ~/.bashrc or ~/.zshrc: eval "$(shopfloor completion bash)", or zsh. For fish, write it to
    ~/.config/fish/completions/shopfloor.fish.
    """
    context = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    if kind is not None:
        printing.out(kind(context.command, {}, "shopfloor", "_SHOPFLOOR_COMPLETE").source())
