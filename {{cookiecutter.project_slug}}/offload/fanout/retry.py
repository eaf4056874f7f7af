"""Retry: sends a request again after a failure that may pass."""

import asyncio
from dataclasses import dataclass
from random import uniform
from time import monotonic

from .context import CallContext, R, Strategy
from .errors import FAILURES, BreakerOpen, retry_after
from .http import httpx
from .metrics import Meter
from .window import Window

# Statuses after which the same request may succeed.
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# After these errors of our transport, the upstream has surely seen nothing of the request.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
# Seconds over which calls and retries are counted (Finagle's RetryBudget: 10).
BUDGET_WINDOW_SECONDS = 10.0


class RetryBudget:
    """Bounds the extra requests of the last ten seconds: retries and hedged requests.

    Args:
        ratio: extra requests allowed for each call; 0.2 is one for five calls.
        min_per_second: extra requests allowed each second, however few calls there are.
    """

    def __init__(self, ratio: float, min_per_second: float) -> None:
        self._ratio = ratio
        self._floor = min_per_second * BUDGET_WINDOW_SECONDS
        # Total: calls. Marked: extra requests.
        self._counts = Window(BUDGET_WINDOW_SECONDS)

    def deposit(self) -> None:
        """Count a call. Every call adds to the budget, whether it is retried or not."""
        self._counts.add(total=1)

    def withdraw(self) -> bool:
        """Take one extra request from the budget; `False` if it is used up."""
        calls, extra = self._counts.sums()
        if extra + 1 > self._ratio * calls + self._floor:
            return False
        self._counts.add(marked=1)
        return True


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often a call is sent again; times are in seconds.

    A call that is not idempotent is sent again only if nothing of it was sent: the connection was
    refused or not made in time.

    The waits have full jitter: the n-th is drawn from 0 to `wait_initial * 2**n`.

    The budget bounds the retries of the last ten seconds to `budget_ratio` of the calls plus
    `budget_min_per_second` a second. The ratio is that of Finagle's RetryBudget. Its minimum is 10
    a second, which multiplies the calls to a quiet upstream that is down by 2.9 (measured: 50 calls
    in ten seconds). With 1 a second, it is 1.4.

    stamina 26.1 is not used: it adds its jitter to an exponential wait, has no budget, and costs
    53 us for a call that succeeds at once (docs/decisions/0002 of the template).
    """

    # Requests of one call, the first one included. Hedged requests are counted apart.
    attempts: int = 3
    wait_initial: float = 0.05
    # Also the longest Retry-After that is waited for; beyond it the call fails at once.
    wait_max: float = 1.0
    budget_ratio: float = 0.2
    budget_min_per_second: float = 1.0

    def wait(self, error: Exception, attempt: int, attempts: int) -> float | None:
        """Seconds to wait after the n-th of so many attempts (1, 2, ...) failed; `None` to give up.

        Three cases:
        1. Connection failed or timed out: wait for a random time.
        2. Transient status: the same, and at least as long as Retry-After asks.
        3. Anything else: a second request would fail, too.
        """
        if attempt >= attempts:
            return None

        drawn = uniform(0.0, min(self.wait_max, self.wait_initial * 2**attempt))
        if isinstance(error, httpx.TransportError):
            return drawn
        if (
            isinstance(error, httpx.HTTPStatusError)
            and error.response.status_code in TRANSIENT_STATUSES
        ):
            asked = retry_after(error.response)
            return max(drawn, asked) if asked <= self.wait_max else None
        return None


class RetryStrategy:
    """Sends the request until it succeeds, the error is final, or attempts, budget or time end."""

    def __init__(self, retry: Retry, budget: RetryBudget, meter: Meter, inner: Strategy) -> None:
        self._retry = retry
        self._budget = budget
        self._meter = meter
        self._inner = inner

    async def __call__(self, context: CallContext[R]) -> R:
        self._budget.deposit()
        last: Exception | None = None
        try:
            while True:
                try:
                    return await self._inner(context)
                except BreakerOpen as refusal:
                    # The failure that came before says more than the refusal of the retry.
                    raise last or refusal from None
                except FAILURES as error:
                    wait = self._wait(error, context)
                    if wait is None:
                        raise
                    last = error
                await asyncio.sleep(wait)
        finally:
            # Its traceback holds this frame: a circle, which only the garbage collector would end.
            last = None

    def _wait(self, error: Exception, context: CallContext[R]) -> float | None:
        """Seconds to wait before the next attempt; `None` if there is none."""
        if not context.request.idempotent and not isinstance(error, NOT_SENT):
            return None

        wait = self._retry.wait(error, context.attempts, context.max_attempts)
        if wait is None or monotonic() + wait >= context.wanted_until:
            return None

        if not self._budget.withdraw():
            self._meter.retries_denied.inc()
            return None
        return wait
