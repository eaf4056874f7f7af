"""Answers kept: while fresh in place of a call, and when stale in place of a failed one."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from time import monotonic

from .answer import Answer


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer and its age in seconds."""

    answer: Answer
    age: float


@dataclass(kw_only=True)
class Cache:
    """In this process's memory, the least recently used answer leaving first; `Cache-Control:
    no-store` is heeded.
    """

    # Seconds an answer stands in for a call.
    fresh_for: float = 0.0
    # Seconds it stands in for a failed one.
    stale_for: float = 300.0
    entries: int = 256
    _kept: OrderedDict[Hashable, tuple[Answer, float]] = field(
        default_factory=OrderedDict, init=False, repr=False
    )

    def keep(self, key: Hashable, answer: Answer) -> None:
        """Remember an answer."""
        if any(
            name.lower() == b"cache-control" and b"no-store" in value
            for name, value in answer.headers
        ):
            return
        self._kept[key] = answer, monotonic()
        self._kept.move_to_end(key)
        if len(self._kept) > self.entries:
            self._kept.popitem(last=False)

    def fresh(self, key: Hashable) -> Kept | None:
        """The answer, if it can stand in for a call."""
        return self._find(key, self.fresh_for)

    def stale(self, key: Hashable) -> Kept | None:
        """The answer, if it can stand in for a failed call."""
        return self._find(key, self.stale_for)

    def _find(self, key: Hashable, longest: float) -> Kept | None:
        if key not in self._kept:
            return None
        answer, fetched = self._kept[key]
        self._kept.move_to_end(key)
        age = monotonic() - fetched
        return Kept(answer, age) if age < longest else None
