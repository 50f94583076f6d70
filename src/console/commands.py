"""What is typed after `:`, understood by the registry's words."""

from typing import NamedTuple

from console.actions import BY_WORD, Action


class Command(NamedTuple):
    """What was typed after `:`, understood."""

    action: Action
    argument: str = ""


class Misunderstood(NamedTuple):
    """What was typed after `:`, and what was expected."""

    reason: str
    near: tuple[str, ...] = ()


def parse_command(line: str) -> Command | Misunderstood:
    """`cancel name:sweep` -> the action with its argument; an abbreviation that fits one word will do."""
    word, _, argument = line.strip().partition(" ")
    argument = argument.strip()
    action = BY_WORD.get(word)
    if action is None:
        near = sorted(known for known in BY_WORD if known.startswith(word))
        if len({BY_WORD[known].id for known in near}) != 1:
            hint = f"{word!r} could be {', '.join(near)}" if near else f"{word!r} is no command; tab shows them all"
            return Misunderstood(hint, tuple(near))
        action = BY_WORD[near[0]]
    if argument and not action.argument:
        return Misunderstood(f"{action.words[0]} takes nothing after it")
    if not argument and action.argument and not action.argument.startswith("["):
        return Misunderstood(f"{action.words[0]} wants {action.argument}")
    return Command(action, argument)
