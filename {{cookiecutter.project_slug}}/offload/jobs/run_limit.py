"""`RunLimit` bounds how many jobs run at once, and how many start in a time, in all workers.

Every limited job has a key. The jobs of one key share one limit.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

# Characters of the part of a key that says whose jobs share the limit. An owner's name fits.
MAX_SHARER_LENGTH = 150
# Characters of a limit's name; a job type's name fits.
MAX_NAME_LENGTH = 100
# A job type's name, this character, and who shares the limit.
SEPARATOR = ":"
# The maintenance looks for blocked jobs every second. So many seconds' worth of starts may happen
# at one moment; with less, a late look would lose starts.
BURST_SECONDS = 2.0
# A longer period's starts would have to be remembered longer than `prune.py` keeps unused keys.
MAX_PERIOD_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class RunLimit:
    """A limit that holds in all workers together.

    Jobs beyond it are blocked: they wait in their rows, and have no message.

    Args:
        at_once: how many jobs of a key may run at once.
        rate: how many starts of a key there may be in `period` seconds. They are spread evenly, but
            those of two seconds may come together. A further attempt is a start, too, and so is the
            join of a divided job.
        period: seconds; a day at most.
        per: which jobs share the limit: `type` (all of the job type), `owner` (those of one owner),
            or a function that makes a text from the parameters, such as a tenant's name.
        name: job types with the same name share one limit, and must declare the same numbers. The
            job type's own name if not given.
    """

    at_once: int | None = None
    rate: int | None = None
    period: float = 1.0
    per: Literal["type", "owner"] | Callable[[Any], str] = "type"
    name: str = ""

    def fault(self) -> str | None:
        """What is wrong with the declaration; None if nothing is."""
        if self.at_once is None and self.rate is None:
            return "a RunLimit needs at_once, rate or both"
        if any(bound is not None and bound < 1 for bound in (self.at_once, self.rate)):
            return "at_once and rate must be at least 1"
        if not 0 < self.period <= MAX_PERIOD_SECONDS:
            return f"period must be between 0 and {MAX_PERIOD_SECONDS:g} s, not {self.period:g}"
        if self.per not in ("type", "owner") and not callable(self.per):
            return f"per must be 'type', 'owner' or a function of the parameters, not {self.per!r}"
        is_long = len(self.name) > MAX_NAME_LENGTH
        if is_long or SEPARATOR in self.name or not self.name.isprintable():
            return (
                f"a limit's name has no {SEPARATOR!r} and at most {MAX_NAME_LENGTH} characters, "
                "which can all be printed"
            )
        return None

    def same_numbers(self, other: "RunLimit") -> bool:
        """Whether both allow the same."""
        mine = (self.at_once, self.rate, self.period)
        return mine == (other.at_once, other.rate, other.period)

    def key(self, type_name: str, owner: str, params: Any) -> str:
        """The key of a job. Jobs with the same key share the limit."""
        if callable(self.per):
            sharer = str(self.per(params))
        else:
            sharer = owner if self.per == "owner" else ""

        # PostgreSQL takes no NUL, and the column has an end.
        if len(sharer) > MAX_SHARER_LENGTH or not sharer.isprintable():
            sharer = hashlib.sha256(sharer.encode("utf-8", "backslashreplace")).hexdigest()
        return self.key_of(type_name, sharer)

    def key_of(self, type_name: str, sharer: str = "") -> str:
        """The key of the jobs of one sharer; by default of those that all share the limit."""
        return f"{self.name or type_name}{SEPARATOR}{sharer}"

    @property
    def interval(self) -> float:
        """Seconds between two starts, where there is a rate."""
        return self.period / self.rate if self.rate else 0.0

    @property
    def burst(self) -> int:
        """How many starts may happen at one moment, where there is a rate."""
        return max(1, int(BURST_SECONDS * (self.rate or 0) / self.period))

    @property
    def tolerance(self) -> float:
        """Seconds that a start may come too early, because an earlier one came too late."""
        return max((self.burst - 1) * self.interval, min(self.interval / 2, BURST_SECONDS))

    def starts_now(self, next_start_at: datetime | None, now: datetime) -> tuple[int, datetime]:
        """How many jobs may start now by the rate (GCRA, the generic cell rate algorithm).

        Args:
            next_start_at: the earliest time of the next start; None where there was none lately.

        Returns:
            The number of starts, and the time from which their own are counted.
        """
        longest_ago = now - timedelta(seconds=self.tolerance)
        earliest = max(next_start_at or longest_ago, longest_ago)
        # This limit gives no such time: it had another rate, or the database's clock was put back.
        if earliest - now > timedelta(seconds=self.interval + self.tolerance):
            earliest = now
        if earliest > now:
            return 0, earliest
        return int((now - earliest).total_seconds() / self.interval) + 1, earliest

    def in_words(self) -> str:
        """The limit, for the owner of a job that it blocks."""
        words = [f"at most {self.at_once} at once"] if self.at_once else []
        if self.rate:
            words.append(f"at most {self.rate} starts in {self.period:g} s")
        return " and ".join(words)
