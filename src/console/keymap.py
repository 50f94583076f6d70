"""Which key does what where: the registry's defaults, with a person's own keys over them.

A key is written as it is typed (`x`, `?`, `+`) or by its name (`enter`, `space`, `shift+tab`, `ctrl+p`, `f2`).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from console.actions import ACTIONS, BY_ID, Action
from console.situation import Place

RESERVED: Mapping[str, str] = {
    "ctrl+a": "screen's and tmux's own key",
    "ctrl+b": "tmux's own key",
    "ctrl+d": "the end of input",
    "ctrl+h": "backspace, or a move in tmux",
    "ctrl+j": "enter, or a move in tmux",
    "ctrl+k": "a move in tmux",
    "ctrl+l": "a move in tmux",
    "ctrl+s": "it stops the terminal",
    "ctrl+q": "it starts the terminal again",
}
"""Keys that terminals and multiplexers keep for themselves; no default may use one."""

NAMED = frozenset(
    [
        "enter",
        "escape",
        "tab",
        "shift+tab",
        "space",
        "backspace",
        "delete",
        "insert",
        "up",
        "down",
        "left",
        "right",
        "home",
        "end",
        "pageup",
        "pagedown",
    ]
    + [f"f{number}" for number in range(1, 13)]
)

SHOWN = {
    "escape": "esc",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "backspace": "bksp",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
}


def key_name(key: str, character: str | None) -> str:
    """The registry's name of a key event: the character itself where it is one that can be seen."""
    if character and character.isprintable() and character != " ":
        return character
    return key


def shown(key: str, *, ascii_only: bool = False) -> str:
    """How the footer and the help write a key."""
    name = SHOWN.get(key, key)
    return key if ascii_only and not name.isascii() else name


class Keymap(NamedTuple):
    """The keys in force, and what was wrong with a person's own: action id -> reason."""

    keys: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str] = {}

    def of(self, action: Action) -> tuple[str, ...]:
        return self.keys[action.id]

    def find(self, key: str, places: Iterable[Place]) -> Action | None:
        """What `key` does here: the place nearest to the focus comes first."""
        for place in places:
            for action in ACTIONS:
                if place in action.where and key in self.keys[action.id]:
                    return action
        return None

    def elsewhere(self, key: str) -> Action | None:
        """What `key` would do in some other place."""
        return next((action for action in ACTIONS if key in self.keys[action.id]), None)


def make_keymap(own: Mapping[str, str] | None = None) -> Keymap:
    """The keymap with a person's own keys. A wrong entry leaves that action its default, and is named in `faults`."""
    keys = {action.id: action.keys for action in ACTIONS}
    faults: dict[str, str] = {}
    for action_id, text in (own or {}).items():
        if action_id not in BY_ID:
            faults[action_id] = f"{action_id}: there is no such action; ? shows them all"
            continue
        wanted = tuple(part.strip() for part in text.split(",") if part.strip()) or ((",",) if "," in text else ())
        if wrong := next((reason for key in wanted if (reason := _why_no_key(key))), None):
            faults[action_id] = f"{action_id} = {text!r}: {wrong}"
        else:
            keys[action_id] = wanted
    for action_id, reason in _clashes(keys, own or {}).items():
        faults[action_id] = reason
        keys[action_id] = BY_ID[action_id].keys
    return Keymap(keys, faults)


def _why_no_key(key: str) -> str | None:
    bare = key.rpartition("+")[2] or "+"
    if len(key) == 1 or key in NAMED:
        return None
    if key.startswith(("ctrl+", "alt+", "shift+")) and (len(bare) == 1 or bare in NAMED):
        return None
    return f"{key!r} is no key; write a character or one of {', '.join(sorted(NAMED))}, with ctrl+ or alt+ before it"


def _clashes(keys: Mapping[str, tuple[str, ...]], own: Mapping[str, str]) -> dict[str, str]:
    """Own entries whose key already does something else in the same place."""
    clashes: dict[str, str] = {}
    for action_id in own:
        if (action := BY_ID.get(action_id)) is None or keys[action_id] == action.keys:
            continue
        for other in ACTIONS:
            both = set(keys[action_id]) & set(keys[other.id])
            if both and other.id != action_id and action.where & other.where and other.id not in clashes:
                clashes[action_id] = f"{action_id} = {own[action_id]!r}: {min(both)!r} is {other.id} already"
                break
    return clashes
