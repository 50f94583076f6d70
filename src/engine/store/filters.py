"""The filter language of task lists, turned into SQL.

Terms stand side by side and all must hold. `word` is text in the id, name, command or group, whatever its case;
`/expression/` is a regular expression (RE2) on the same; `field:value` compares one field, `field:one,other` allows
several values and numbers take `>=`, `<=`, `>` and `<`. `!` before a term inverts it; double quotes keep spaces and
signs as they are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase

from engine.protocol.states import ExecutorName, TaskState, WorkerStatus
from engine.store.filter_terms import FilterError, Regex, Term, Value, read_terms
from engine.store.regex import check_regex
from engine.store.text import RANKS_BEFORE_THE_END, WORKER_STATUS

__all__ = ["Condition", "FilterError", "condition"]

_MOST_TERMS = 50
_LONGEST = 4096

_NUMBERS = ("priority", "cpu", "memory_gb", "gpu", "attempt", "exit_code")
_EXACT = {"name": "job_name", "group": "group_name", "user": "user_id", "image": "image"}
_PREFIXES = {"id": "id", "snapshot": "snapshot_id"}
_META = "meta."
_FIELDS = ("id", "state", "status", "name", "group", "executor", "user", *_NUMBERS, "image", "snapshot", "error")
_SHOWN_FIELDS = (*_FIELDS, "meta.KEY")

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_NUMBER = re.compile(r"(>=|<=|>|<|=)?(-?\d{1,15}(?:\.\d{1,6})?)")


@dataclass(frozen=True, slots=True)
class Condition:
    """What stands behind WHERE, and the values of its names. `sql` is empty when everything matches.

    `hint` follows from the rest: with it the default order is read from its index, which counting is better without.
    """

    sql: str = ""
    params: Mapping[str, object] = field(default_factory=dict)
    hint: str = ""

    @property
    def where(self) -> str:
        return f"WHERE {self.sql}" if self.sql else ""

    @property
    def where_in_order(self) -> str:
        return f"{self.where} AND {self.hint}" if self.hint else self.where


def condition(text: str, command_text: str) -> Condition:
    """The condition that a filter stands for. Raises `FilterError` naming the term that can't be used.

    `command_text` is the SQL that reads a task's command as one line of text.
    """
    if len(text) > _LONGEST:
        raise FilterError(f"{text[:20]}…", f"the filter has {len(text)} characters", (f"{_LONGEST} at most",))
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise FilterError(text.encode(errors="replace").decode(), "it is not text", ("Unicode text",))
    terms = read_terms(text)
    if len(terms) > _MOST_TERMS:
        raise FilterError(terms[_MOST_TERMS].source, f"the filter has {len(terms)} terms", (f"{_MOST_TERMS} at most",))
    builder = _Builder(command_text)
    # Expressions last: the database tries them only where all else holds.
    parts = [builder.term(term) for term in sorted(terms, key=lambda term: isinstance(term.value, Regex))]
    return Condition(" AND ".join(parts), builder.params, " AND ".join(builder.hints))


class _Builder:
    def __init__(self, command_text: str) -> None:
        self.params: dict[str, object] = {}
        self.hints: list[str] = []
        self._command = command_text

    def term(self, term: Term) -> str:
        found = self._positive(term)
        return f"({found}) IS NOT TRUE" if term.inverted else f"({found})"

    def _positive(self, term: Term) -> str:
        if term.field is None:
            return self._anywhere(term)
        name = term.field.lower()
        if name.startswith(_META):
            return self._text_field(term, self._metadata(term))
        if name in _EXACT:
            return self._text_field(term, _EXACT[name])
        if name == "error":
            return self._error(term)
        kinds: dict[str, Callable[[Term, str], str]] = {
            "state": self._state,
            "status": self._status,
            "executor": self._executor,
            **dict.fromkeys(_NUMBERS, self._number),
            **dict.fromkeys(_PREFIXES, self._prefix),
        }
        if name not in kinds:
            reason = f'there is no field "{term.field}"; put the term in double quotes to search for its text'
            raise FilterError(term.source, reason, _SHOWN_FIELDS)
        return kinds[name](term, name)

    def _anywhere(self, term: Term) -> str:
        texts = ("job_name", "id", "group_name", "args", self._command)
        if isinstance(term.value, Regex):
            lines = " || char(10) || ".join(f"coalesce({text}, '')" for text in texts)
            return self._regexp(term, term.value, lines)
        word = term.value[0].text
        return " OR ".join(self._contains(text, word) for text in texts)

    def _contains(self, text: str, word: str) -> str:
        if word.isascii():
            return f"instr(lower({text}), {self._bind(_folded(word))}) > 0"
        return f"regexp({self._bind(f'(?i){_literal(word)}')}, {text})"

    def _regexp(self, term: Term, regex: Regex, text: str) -> str:
        pattern = f"(?im){regex.pattern}"
        if refusal := check_regex(pattern):
            raise FilterError(term.source, f"the regular expression can't be read: {refusal}", ("RE2 syntax",))
        return f"regexp({self._bind(pattern)}, {text})"

    def _text_field(self, term: Term, column: str) -> str:
        if isinstance(term.value, Regex):
            return self._regexp(term, term.value, column)
        return " OR ".join(self._equals(column, value) for value in term.value)

    def _equals(self, column: str, value: Value) -> str:
        """Equal whatever the case; `*` outside quotes stands for anything, and nothing in quotes for no value."""
        if not value.text:
            return f"coalesce({column}, '') = ''"
        text = _folded(value.text)
        if value.quoted or "*" not in text:
            return f"lower({column}) = {self._bind(text)}"
        pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        return f"lower({column}) LIKE {self._bind(pattern)} ESCAPE '\\'"

    def _error(self, term: Term) -> str:
        text = "coalesce(error, reason)"
        if isinstance(term.value, Regex):
            return self._regexp(term, term.value, text)
        return " OR ".join(
            self._contains(text, value.text) if value.text else f"{text} IS NULL" for value in term.value
        )

    def _metadata(self, term: Term) -> str:
        key = (term.field or "")[len(_META) :]
        if not key or '"' in key or "\\" in key:
            raise FilterError(term.source, "a metadata field is meta. and a key", ("meta.KEY:value",))
        path = f'$."{key}"'
        return f"json_extract(metadata, {self._bind(path)})"

    def _state(self, term: Term, _: str) -> str:
        return self._within(term, self._words(term, tuple(TaskState)))

    def _status(self, term: Term, _: str) -> str:
        wanted = self._words(term, tuple(WorkerStatus))
        return self._within(term, [state for state, status in WORKER_STATUS.items() if status in wanted])

    def _within(self, term: Term, states: Sequence[str]) -> str:
        if not term.inverted and all(state in RANKS_BEFORE_THE_END for state in states):
            ranks = {RANKS_BEFORE_THE_END[state] for state in states}
            self.hints.append(f"rank IN ({', '.join(str(rank) for rank in sorted(ranks))})")
        return self._any_of("state", states)

    def _executor(self, term: Term, name: str) -> str:
        return self._any_of(name, self._words(term, tuple(ExecutorName)))

    def _any_of(self, column: str, values: Sequence[str]) -> str:
        return f"{column} IN ({', '.join(self._bind(str(value)) for value in values)})"

    def _words(self, term: Term, allowed: tuple[str, ...]) -> list[str]:
        words = [value.text.lower() for value in self._values(term)]
        for word in words:
            if word not in allowed:
                raise FilterError(term.source, f'"{word}" is no {term.field}', tuple(str(word) for word in allowed))
        return words

    def _number(self, term: Term, column: str) -> str:
        return " OR ".join(self._compared(term, column, value.text) for value in self._values(term))

    def _compared(self, term: Term, column: str, text: str) -> str:
        found = _NUMBER.fullmatch(text)
        if found is None:
            raise FilterError(
                term.source, f'"{text}" is no number', (f"{column}:4", f"{column}:2,4", f"{column}:>=4 (also <=, >, <)")
            )
        return f"{column} {found[1] or '='} {self._bind(float(found[2]))}"

    def _prefix(self, term: Term, name: str) -> str:
        column = _PREFIXES[name]
        return " OR ".join(self._begins(term, column, value.text.lower()) for value in self._values(term))

    def _begins(self, term: Term, column: str, text: str) -> str:
        if not text:
            raise FilterError(term.source, f"{term.field} needs the first characters of an id", (f"{term.field}:4k7",))
        # Ids are plain ASCII, so that a range finds what begins with the text, by the index.
        return f"({column} >= {self._bind(text)} AND {column} < {self._bind(text + '~')})"

    def _values(self, term: Term) -> Sequence[Value]:
        if isinstance(term.value, Regex):
            raise FilterError(term.source, f"{term.field} takes no regular expression", (f"{term.field}:value",))
        return term.value

    def _bind(self, value: object) -> str:
        name = f"f{len(self.params)}"
        self.params[name] = value
        return f":{name}"


def _folded(text: str) -> str:
    """Lower case the way the database does it: only the letters of ASCII."""
    return text.translate(_LOWER)


def _literal(word: str) -> str:
    """A word as an expression that matches itself. RE2 takes letters of any script as they are."""
    return "".join(c if c.isalnum() or not c.isascii() else f"\\x{{{ord(c):x}}}" for c in word)
