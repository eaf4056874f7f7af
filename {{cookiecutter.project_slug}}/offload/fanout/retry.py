"""When to try again and how long to pause before: full jitter, `Retry-After`, and a budget for each
upstream.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import uniform

from .http import httpx
from .window import Window

# RFC 9110, section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(kw_only=True)
class Retry:
    """How often an idempotent call is tried again.

    The budget keeps retries from multiplying an outage: over ten seconds they may be `share` of the
    calls plus `floor` a second (Finagle's RetryBudget has the same defaults).

    Own lines in place of stamina: stamina adds its jitter to an exponential wait (full jitter draws
    from the whole of it), has no budget, and costs 53 us a successful call, a third of the whole
    request (docs/decisions).
    """

    attempts: int = 3
    # Seconds; the n-th pause is drawn from 0 to base * 2^n.
    base: float = 0.05
    # Seconds; also the longest Retry-After waited for, past it the call fails at once.
    longest: float = 1.0
    share: float = 0.2
    floor: float = 10.0
    _spent: Window = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._spent = Window(10.0)

    def count_call(self) -> None:
        """Every call pays into the budget."""
        self._spent.add(total=1)

    def afford(self) -> bool:
        """Take one retry, or one hedged request, from the budget; False if it is used up."""
        calls, spent = self._spent.sums()
        if spent + 1 > self.share * calls + self.floor * 10.0:
            return False
        self._spent.add(marked=1)
        return True

    def pause(self, error: Exception, attempt: int) -> float | None:
        """Seconds to wait after this failure of the `attempt`-th attempt (1, 2, ...), or None to
        give up.
        """
        if attempt >= self.attempts:
            return None
        drawn = uniform(0.0, min(self.longest, self.base * 2**attempt))
        if isinstance(error, httpx.TransportError):
            return drawn
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in TRANSIENT:
            asked = _retry_after(error.response)
            return max(drawn, asked) if asked <= self.longest else None
        return None


def _retry_after(response: httpx.Response) -> float:
    """Seconds the upstream asks to be left alone: a number or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
