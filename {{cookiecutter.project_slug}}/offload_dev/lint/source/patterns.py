"""Patterns of names, for comparing with the origin of a call."""

import re
from collections.abc import Callable, Iterable
from functools import cached_property


class Patterns:
    """A list of dotted names. `*` is any text, `{a,b}` is either word.

    Attributes:
        matches: tells whether one of the patterns matches a whole origin.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self.matches: Callable[[str], bool] = _Answers(patterns).__getitem__


class _Answers(dict[str, bool]):
    """By origin, whether one of the patterns matches it.

    A project calls the same functions again and again, so each answer is kept.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        self._patterns = patterns

    def __missing__(self, origin: str) -> bool:
        self[origin] = found = self._expression.fullmatch(origin) is not None
        return found

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_as_expression, self._patterns)))


def _as_expression(pattern: str) -> str:
    """Write `a.{b,c*}` as a regular expression."""
    escaped = re.escape(pattern).replace(r"\{", "(?:").replace(r"\}", ")").replace(r"\*", ".*")
    return re.sub(r",(?=[^(]*\))", "|", escaped)
