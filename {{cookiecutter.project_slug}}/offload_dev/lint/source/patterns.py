"""Patterns of names, for comparing with the origin of a call."""

import re
from functools import cached_property


class Patterns:
    """A list of dotted names. `*` is any text, `{a,b}` is either word.

    A project calls the same functions again and again, so each answer is kept by its origin.
    """

    def __init__(self, *patterns: str) -> None:
        self.patterns = patterns
        self._known: dict[str, bool] = {}

    def matches(self, origin: str) -> bool:
        """Whether one of the patterns matches the whole origin."""
        known = self._known.get(origin)
        if known is None:
            known = self._known[origin] = self._expression.fullmatch(origin) is not None
        return known

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_as_expression, self.patterns)))


def _as_expression(pattern: str) -> str:
    """Write `a.{b,c*}` as a regular expression."""
    escaped = re.escape(pattern).replace(r"\{", "(?:").replace(r"\}", ")").replace(r"\*", ".*")
    return re.sub(r",(?=[^(]*\))", "|", escaped)
