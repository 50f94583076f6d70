"""What of a folder belongs into a snapshot: git's own rules for `.gitignore`, one entry at a time.

The engine applies them to folders that it can see, the console to those that it packs for an engine elsewhere.

A path-level matcher (`pathspec`) matches whatever lies below a directory together with the directory, so `a/*`
followed by `!a/b/` loses what git keeps. Git asks about each entry by itself and never enters an ignored folder;
so does this, in bytes as git does, with RE2, since patterns come from outside.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import re2

FILE_NAME = ".gitignore"
MAX_BYTES = 1 << 20

_NEVER = ".git"
_SPECIAL = b"*?[\\"
_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.dot_nl = True
_OPTIONS.log_errors = False


class IgnoreError(Exception):
    """A `.gitignore` that can't be used; the text is shown to people."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. `name` is set where the pattern is a plain name; `regex` otherwise."""

    keeps: bool
    folders_only: bool
    by_name: bool
    name: bytes | None
    regex: "re2._Regexp[bytes] | None"

    def matches(self, path: bytes, basename: bytes, is_folder: bool) -> bool:
        if self.folders_only and not is_folder:
            return False
        text = basename if self.by_name else path
        if self.name is not None:
            return text == self.name
        return self.regex is not None and self.regex.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """The lines of one `.gitignore`; paths are relative to the folder that it stands in.

    `base` is that folder within the tree; `above` is where the tree is when the folder is above the tree.
    """

    base: bytes
    rules: tuple[Rule, ...]
    above: bytes = b""

    def verdict(self, path: bytes, basename: bytes, is_folder: bool) -> bool | None:
        """True: left out. False: kept. None: this file says nothing about it."""
        relative = self.above + path[len(self.base) :]
        for rule in reversed(self.rules):
            if rule.matches(relative, basename, is_folder):
                return not rule.keeps
        return None


def entries(
    root: Path, *, honour_ignore: bool = True, enters: Callable[["os.DirEntry[str]"], bool] = lambda _: True
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Each entry below `root` that belongs into a snapshot, with its path from there; folders before what they hold.

    With `honour_ignore`, `.gitignore` counts as git counts it and `.git` never belongs. A folder for which `enters`
    is false is left out. Raises `IgnoreError`, and `OSError` for a folder that can't be read.
    """
    top = os.path.realpath(root)
    todo = [("", _rules_above(Path(top)) if honour_ignore else ())]
    while todo:
        prefix, stack = todo.pop()
        here = os.path.join(top, prefix)  # noqa: PTH118 - names that are not UTF-8 stay what they are
        if honour_ignore:
            rules = read_rules(os.fsencode(here).rstrip(b"/"), os.fsencode(prefix))
            stack = (*stack, rules) if rules else stack
        with os.scandir(here) as scanned:
            items = list(scanned)
        for item in items:
            path = prefix + item.name
            is_folder = item.is_dir(follow_symlinks=False)
            if honour_ignore and (item.name == _NEVER or ignored(stack, os.fsencode(path), is_folder)):
                continue
            if is_folder:
                if not enters(item):
                    continue
                todo.append((path + "/", stack))
            yield path, item


def _rules_above(root: Path) -> tuple[Rules, ...]:
    """The rules of the folders above `root` up to the top of its git work tree, as if `root` were the top."""
    above: list[Path] = []
    if not (root / _NEVER).exists():
        for parent in root.parents:
            above.append(parent)
            if (parent / _NEVER).exists():
                break
        else:
            above = []
    stack = []
    for parent in reversed(above):
        rules = read_rules(os.fsencode(parent), b"")
        if rules is not None:
            stack.append(Rules(b"", rules.rules, os.fsencode(root.relative_to(parent)) + b"/"))
    return tuple(stack)


def ignored(stack: Sequence[Rules], path: bytes, is_folder: bool) -> bool:
    """Whether the rules in force leave `path` out. The nearest `.gitignore` with a word about it decides."""
    basename = path.rpartition(b"/")[2]
    for rules in reversed(stack):
        verdict = rules.verdict(path, basename, is_folder)
        if verdict is not None:
            return verdict
    return False


def read_rules(folder: bytes, base: bytes) -> Rules | None:
    """The rules that stand in `folder`; `base` is where that is in the tree, ending in a slash unless empty."""
    try:
        descriptor = os.open(folder + b"/" + FILE_NAME.encode(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            content = file.read(MAX_BYTES + 1)
        except OSError:
            return None
    if len(content) > MAX_BYTES:
        raise IgnoreError(f"{os.fsdecode(base)}{FILE_NAME} is larger than {MAX_BYTES >> 20} MiB")
    return Rules(base, parse(content))


def parse(content: bytes) -> tuple[Rule, ...]:
    rules = (_rule(line) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    return tuple(rule for rule in rules if rule is not None)


def _rule(line: bytes) -> Rule | None:
    pattern = _without_trailing_spaces(line.removesuffix(b"\r"))
    if not pattern or pattern.startswith(b"#"):
        return None
    keeps = pattern.startswith(b"!")
    pattern = pattern[keeps:]
    folders_only = pattern.endswith(b"/")
    pattern = pattern[: len(pattern) - folders_only]
    by_name = b"/" not in pattern
    pattern = pattern.removeprefix(b"/")
    if not any(character in _SPECIAL for character in pattern):
        return Rule(keeps, folders_only, by_name, pattern, None)
    source = _translate(pattern, by_name)
    if source is None:
        return None
    try:
        regex = re2.compile(source, options=_OPTIONS)
    except re2.error as error:
        raise IgnoreError(f"a line of {FILE_NAME} can't be read: {os.fsdecode(line)!r}") from error
    return Rule(keeps, folders_only, by_name, None, regex)


def _without_trailing_spaces(line: bytes) -> bytes:
    end, position = None, 0
    while position < len(line):
        if line[position : position + 1] == b" ":
            end = position if end is None else end
        else:
            if line[position : position + 1] == b"\\":
                position += 1
                if position == len(line):
                    return line
            end = None
        position += 1
    return line if end is None else line[:end]


def _translate(pattern: bytes, by_name: bool) -> bytes | None:
    """The pattern as a regular expression; None where git's matcher can never match it."""
    parts: list[bytes] = []
    position = 0
    while position < len(pattern):
        character = pattern[position : position + 1]
        if character == b"*":
            position = _stars(pattern, position, by_name, parts)
        elif character == b"?":
            parts.append(b"[^/]")
            position += 1
        elif character == b"[":
            bracket = _bracket(pattern, position)
            if bracket is None:
                return None
            part, position = bracket
            parts.append(part)
        else:
            position += character == b"\\"
            if position == len(pattern):
                return None
            parts.append(_literal(pattern[position]))
            position += 1
    return b"".join(parts)


def _stars(pattern: bytes, start: int, by_name: bool, parts: list[bytes]) -> int:
    end = start
    while pattern[end : end + 1] == b"*":
        end += 1
    prefix = pattern[:start]
    # Git compares the part before the first special character by itself and matches what remains as a pattern
    # of its own, so stars that come first in that remainder count as standing at the start.
    opens = not any(character in _SPECIAL for character in prefix) or prefix.endswith(b"/")
    closes = end == len(pattern) or pattern[end : end + 1] == b"/" or pattern[end : end + 2] == b"\\/"
    if by_name or end - start == 1 or not (opens and closes):
        parts.append(b"[^/]*")
    elif pattern[end : end + 1] == b"/":
        parts.append(b"(?:.*/)?")
        end += 1
    else:
        parts.append(b".*")
    return end


_NAMES = ("alnum", "alpha", "blank", "cntrl", "digit", "lower", "space", "upper", "xdigit")
_CLASSES = {
    **{name.encode(): f"[:{name}:]".encode() for name in _NAMES},
    # These three hold the slash, which no bracket matches in a path.
    b"graph": rb"\x21-\x2e\x30-\x7e",
    b"print": rb"\x20-\x2e\x30-\x7e",
    b"punct": rb"\x21-\x2e\x3a-\x40\x5b-\x60\x7b-\x7e",
}


def _bracket(pattern: bytes, start: int) -> tuple[bytes, int] | None:
    """A `[...]` from `start` as a class that never matches a slash, and where the pattern goes on."""
    position = start + 1
    negated = pattern[position : position + 1] in {b"!", b"^"}
    position += negated
    members: set[int] = set()
    classes: list[bytes] = []
    previous: int | None = None
    first = True
    while True:
        character = pattern[position : position + 1]
        if not character:
            return None
        if character == b"]" and not first:
            break
        first = False
        if character == b"[" and pattern[position + 1 : position + 2] == b":":
            end = pattern.find(b"]", position + 2)
            if end < 0:
                return None
            if pattern[end - 1 : end] == b":" and end - 1 >= position + 2:
                name = pattern[position + 2 : end - 1]
                if name not in _CLASSES:
                    return None
                classes.append(_CLASSES[name])
                previous, position = None, end + 1
                continue
            members.add(character[0])
            previous, position = character[0], position + 1
            continue
        following = pattern[position + 1 : position + 2]
        if character == b"-" and previous is not None and following not in {b"", b"]"}:
            position += 1 + (following == b"\\")
            upper = pattern[position : position + 1]
            if not upper:
                return None
            members.update(range(previous, upper[0] + 1))
            previous, position = None, position + 1
            continue
        position += character == b"\\"
        member = pattern[position : position + 1]
        if not member:
            return None
        members.add(member[0])
        previous, position = member[0], position + 1
    return _class(members, classes, negated), position + 1


def _class(members: set[int], classes: list[bytes], negated: bool) -> bytes:
    slash = ord("/")
    if negated:
        return b"[^" + b"".join(_literal(member) for member in sorted(members | {slash})) + b"".join(classes) + b"]"
    listed = b"".join(_literal(member) for member in sorted(members - {slash})) + b"".join(classes)
    return b"[" + listed + b"]" if listed else rb"[^\x00-\xff]"


def _literal(character: int) -> bytes:
    return b"\\x%02x" % character
