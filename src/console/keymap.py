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

_LISTS = (Place.QUEUE, Place.JOBS, Place.APPROVALS, Place.NOTEBOOKS)
CHAINS: tuple[frozenset[Place], ...] = (
    *(frozenset({one, Place.LIST, Place.OVERVIEW, Place.ANYWHERE}) for one in _LISTS),
    *(
        frozenset({one, desk, Place.ANYWHERE})
        for one in (Place.LOG, Place.SHEET)
        for desk in (Place.OVERVIEW, Place.TASK)
    ),
)
"""The places that can be in force together: a pane's, its screen's, and anywhere."""

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
    """The keys in force, what was wrong with a person's own (action id -> reason), and what was looked up."""

    keys: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str]
    tables: dict[tuple[Place, ...], Mapping[str, Action]]

    def of(self, action: Action) -> tuple[str, ...]:
        return self.keys[action.id]

    def there(self, action: Action, places: Iterable[Place]) -> tuple[str, ...]:
        """The keys that do it from there: none that something nearer to the focus has taken."""
        table = self._table(tuple(places))
        return tuple(key for key in self.of(action) if table.get(key) is action)

    def find(self, key: str, places: Iterable[Place]) -> Action | None:
        """What `key` does here: the place nearest to the focus comes first."""
        return self._table(tuple(places)).get(key)

    def _table(self, places: tuple[Place, ...]) -> Mapping[str, Action]:
        """What each key does there; made once, as the footer asks for it at every move."""
        if places not in self.tables:
            nearest_last = [
                action for place in reversed(places) for action in reversed(ACTIONS) if place in action.where
            ]
            self.tables[places] = {key: action for action in nearest_last for key in self.keys[action.id]}
        return self.tables[places]

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
    while clashes := _clashes(keys, own or {}):  # a default that comes back may be what another entry has taken
        for action_id, reason in clashes.items():
            faults[action_id] = reason
            keys[action_id] = BY_ID[action_id].keys
    return Keymap(keys, faults, {})


def _why_no_key(key: str) -> str | None:
    bare = key.rpartition("+")[2] or "+"
    if len(key) == 1 or key in NAMED:
        return None
    if key.startswith(("ctrl+", "alt+", "shift+")) and (len(bare) == 1 or bare in NAMED):
        return None
    return f"{key!r} is no key; write a character or one of {', '.join(sorted(NAMED))}, with ctrl+ or alt+ before it"


def _meet(one: Action, other: Action) -> bool:
    return any(one.where & chain and other.where & chain for chain in CHAINS)


def _clashes(keys: Mapping[str, tuple[str, ...]], own: Mapping[str, str]) -> dict[str, str]:
    """Own entries whose key already does something else where both can be meant."""
    clashes: dict[str, str] = {}
    for action_id in own:
        if (action := BY_ID.get(action_id)) is None or keys[action_id] == action.keys:
            continue
        for other in ACTIONS:
            both = set(keys[action_id]) & set(keys[other.id])
            if both and other.id != action_id and _meet(action, other) and other.id not in clashes:
                clashes[action_id] = f"{action_id} = {own[action_id]!r}: {min(both)!r} is {other.id} already"
                break
    return clashes
