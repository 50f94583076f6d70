"""The words of the filter language: where a term begins and ends, what is its field and what its value."""

from collections.abc import Sequence
from dataclasses import dataclass

_SIGNS = (">=", "<=", ">", "<")
_COMPARED = frozenset({"priority", "cpu", "memory_gb", "gpu", "attempt", "exit_code"})


class FilterError(ValueError):
    """A filter that can't be used: the term, why, and what is allowed in its place."""

    def __init__(self, term: str, reason: str, allowed: Sequence[str] = ()) -> None:
        self.term = term
        self.reason = reason
        self.allowed = tuple(allowed)
        super().__init__(f'"{term}": {reason}' + (f". Allowed: {', '.join(self.allowed)}" if allowed else ""))


@dataclass(frozen=True, slots=True)
class Value:
    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Regex:
    pattern: str


@dataclass(frozen=True, slots=True)
class Term:
    """`field` is None for plain text. The value is an expression, or alternatives (one for plain text)."""

    source: str
    inverted: bool
    field: str | None
    value: Regex | Sequence[Value]


def read_terms(text: str) -> list[Term]:
    """The terms of a filter, in order. Raises `FilterError` for a quote or an expression without an end."""
    reader = _Reader(text)
    terms = []
    while reader.skip_spaces():
        terms.append(reader.term())
    return terms


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._start = 0

    def skip_spaces(self) -> bool:
        """Go to the next term; False at the end."""
        while self._peek().isspace():
            self._at += 1
        return self._at < len(self._text)

    def term(self) -> Term:
        self._start = self._at
        inverted = self._peek() == "!"
        if inverted:
            self._at += 1
        if self._ended():
            raise self._refused("there is nothing to invert", ("!word", "!field:value"))
        field = self._field()
        if self._peek() == "/":
            value: Regex | Sequence[Value] = self._regex()
        elif field is None:
            value = (self._word(stop=""),)
            if not value[0].text:
                raise self._refused("there is no text between the quotes")
        else:
            value = self._alternatives(field)
        return Term(self._source(), inverted, field, value)

    def _field(self) -> str | None:
        """The name before a `:`, or before a comparison of a number; nothing of it is quoted."""
        end = self._at
        while end < len(self._text) and not (self._text[end].isspace() or self._text[end] in ':"/<>'):
            end += 1
        name = self._text[self._at : end]
        if not name or end == len(self._text):
            return None
        if self._text[end] == ":":
            self._at = end + 1
            return name
        if self._text.startswith(_SIGNS, end) and name.lower() in _COMPARED:
            self._at = end
            return name
        return None

    def _alternatives(self, field: str) -> list[Value]:
        values = [self._word(stop=",")]
        while self._peek() == ",":
            self._at += 1
            values.append(self._word(stop=","))
        if any(not value.text and not value.quoted for value in values):
            raise self._refused("a value is missing", (f"{field}:value", f'{field}:"" for none'))
        return values

    def _word(self, stop: str) -> Value:
        """Text up to a space or `stop`; what is in double quotes is taken as it is."""
        text = []
        quoted = False
        while not self._ended() and self._peek() not in stop:
            if self._peek() == '"':
                quoted = True
                text.append(self._quoted())
            else:
                text.append(self._peek())
                self._at += 1
        return Value("".join(text), quoted)

    def _quoted(self) -> str:
        text = []
        self._at += 1
        while self._peek() != '"':
            if self._peek() == "\\" and self._text[self._at + 1 : self._at + 2] in ('"', "\\"):
                self._at += 1
            if self._at >= len(self._text):
                raise self._refused("the quote has no end")
            text.append(self._text[self._at])
            self._at += 1
        self._at += 1
        return "".join(text)

    def _regex(self) -> Regex:
        """`/expression/`, in which `\\/` is a slash."""
        pattern = []
        self._at += 1
        while self._peek() != "/":
            if self._at >= len(self._text):
                raise self._refused("a regular expression ends with a /; put text that begins with one in quotes")
            if self._text.startswith("\\", self._at) and self._at + 1 < len(self._text):
                if self._text[self._at + 1] != "/":
                    pattern.append("\\")
                self._at += 1
            pattern.append(self._text[self._at])
            self._at += 1
        self._at += 1
        if not self._ended():
            raise self._refused("after a regular expression comes a space; put text that begins with a / in quotes")
        if not pattern:
            raise self._refused("the regular expression is empty")
        return Regex("".join(pattern))

    def _peek(self) -> str:
        """The next character, nothing at the end."""
        return self._text[self._at : self._at + 1]

    def _ended(self) -> bool:
        return self._at >= len(self._text) or self._text[self._at].isspace()

    def _source(self) -> str:
        return self._text[self._start : self._at]

    def _refused(self, reason: str, allowed: Sequence[str] = ()) -> FilterError:
        while not self._ended():
            self._at += 1
        return FilterError(self._source(), reason, allowed)
