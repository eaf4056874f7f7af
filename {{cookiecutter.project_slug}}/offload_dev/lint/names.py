"""Reads `names.toml`, and asks of an origin which list it is in."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

NAMES: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("names.toml").read_text(encoding="utf-8")
)

ORM = {name: frozenset(words) for name, words in NAMES["orm"].items()}
FETCHING = ORM["fetching"] | {f"a{name}" for name in ORM["fetching"]}
AWAITABLE = {f"a{name}" for name in ORM["evaluating"]}
AWAITABLE_ON_ROWS = {f"a{name}" for name in ORM["on_rows"]}
PUBLISH = frozenset(NAMES["moves"]["publish"])


def among(origin: str, section: str, name: str) -> bool:
    """Whether an origin matches one of a list's patterns."""
    return _pattern(section, name).fullmatch(origin) is not None


@cache
def stops(origin: str) -> str | None:
    """The rule that a call of this origin breaks on the event loop."""
    if among(origin, "computes", "holding_gil"):
        return "OFF201"
    return next((rule for rule in NAMES["stops"] if among(origin, "stops", rule)), None)


@cache
def _pattern(section: str, name: str) -> re.Pattern[str]:
    return re.compile("|".join(map(_expression, NAMES[section][name])))


def _expression(pattern: str) -> str:
    """`a.{b,c*}` as a regular expression."""
    escaped = re.escape(pattern).replace(r"\{", "(?:").replace(r"\}", ")").replace(r"\*", ".*")
    return re.sub(r",(?=[^(]*\))", "|", escaped)
