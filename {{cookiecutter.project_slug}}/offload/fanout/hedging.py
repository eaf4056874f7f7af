"""Hedging: sends a second request when the first one takes unusually long."""

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from .bulkhead import Bulkhead
from .context import CANCEL_SECONDS, CallContext, R, Strategy
from .errors import FAILURES, DeadlineExceeded, without_frames
from .retry import RetryBudget
from .window import Window

# The latest calls from whose times the quantile is taken.
SAMPLES = 200
# The quantile is taken anew after so many calls: sorting 200 numbers costs 10 us.
CALLS_BETWEEN_QUANTILES = 20
# Seconds over which calls and hedged requests are counted for `budget_ratio`.
HEDGE_WINDOW_SECONDS = 60.0

# The requests of one call. Each returns its response, or its failure.
Racing = set[asyncio.Task[Any]]


@dataclass(frozen=True, kw_only=True)
class Hedge:
    """For reads of an upstream that is slow by chance and not by load.

    The response that comes first is taken, and the other request is cancelled ("The Tail at
    Scale", Dean and Barroso 2013).
    """

    # A call is hedged when it takes longer than this quantile of the last 200 calls.
    quantile: float = 0.95
    # Hedged requests of the last minute, as a share of its calls, are at most this.
    budget_ratio: float = 0.05


class HedgingStrategy:
    """Races a second request against a slow first one. Writes and streams pass through unhedged.

    A stream is not hedged because only its head would be compared, and the times of whole
    responses say nothing about a head.

    The second request needs a free slot of the bulkhead and a place in the retry budget.
    """

    def __init__(
        self, hedge: Hedge, bulkhead: Bulkhead, budget: RetryBudget, inner: Strategy
    ) -> None:
        self._hedge = hedge
        self._bulkhead = bulkhead
        self._budget = budget
        self._inner = inner
        # Cancelled requests that have not ended.
        self._ending: set[asyncio.Future[Any]] = set()
        # Total: calls. Marked: hedged requests.
        self._counts = Window(HEDGE_WINDOW_SECONDS)
        self._seconds: deque[float] = deque(maxlen=SAMPLES)
        self._calls_learnt = 0
        # Seconds after which a call is hedged; `None` until the first quantile is known.
        self._hedge_after: float | None = None

    async def __call__(self, context: CallContext[R]) -> R:
        if context.request.key is None or context.streaming:
            return await self._inner(context)

        self._counts.add(total=1)
        started = monotonic()
        racing: Racing = {asyncio.ensure_future(_failure_returned(self._inner, context))}
        done: Racing = set()
        try:
            done, racing = await asyncio.wait(racing, timeout=self._hedge_after)
            if not done and self._may_hedge():
                self._counts.add(marked=1)
                context.hedged = True
                hedged = _failure_returned(self._send_hedged, context)
                racing.add(asyncio.ensure_future(hedged))
            while racing and not _succeeded(done):
                done, racing = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
            response: R = _response(done)
        finally:
            # An error that is raised here leads to this frame, and its task to the error.
            done = set()
            if racing:
                await self._end(racing)

        self._learn(monotonic() - started)
        return response

    async def _end(self, losers: Racing) -> None:
        """Cancel these requests, and wait for their connections to be closed; but not for long."""
        for task in losers:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ended)
        await asyncio.wait(losers, timeout=CANCEL_SECONDS)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            # Mark its exception as retrieved: nobody waits for it any more.
            task.exception()

    def _may_hedge(self) -> bool:
        """Whether there is room for a second request; takes it from the retry budget."""
        calls, hedged = self._counts.sums()
        within_ratio = hedged + 1 <= self._hedge.budget_ratio * calls
        return within_ratio and not self._bulkhead.full and self._budget.withdraw()

    async def _send_hedged(self, context: CallContext[R]) -> R:
        """Send the request a second time, in a slot and a context of its own."""
        await self._bulkhead.enter(context.ends_at)
        try:
            return await self._inner(replace(context, is_hedge=True, held_back=0.0))
        finally:
            self._bulkhead.leave()

    def _learn(self, seconds: float) -> None:
        self._seconds.append(seconds)
        self._calls_learnt += 1
        if self._calls_learnt % CALLS_BETWEEN_QUANTILES == 0:
            ordered = sorted(self._seconds)
            self._hedge_after = ordered[int(self._hedge.quantile * len(ordered))]


async def _failure_returned(send: Strategy, context: CallContext[R]) -> R | Exception:
    """Send a request. Its failure is returned: a task that fails keeps its frames.

    The timeout in them leads back to the task: a circle, in which a part of a body would wait for
    the garbage collector.
    """
    try:
        return await send(context)
    except FAILURES as error:
        return without_frames(error)
    except asyncio.CancelledError:
        # The other request was quicker, or all callers have left.
        return DeadlineExceeded("Nobody waits for the response any more.")


def _succeeded(done: Racing) -> list[asyncio.Task[Any]]:
    return [task for task in done if not isinstance(_result(task), Exception)]


def _result(task: asyncio.Task[Any]) -> Any:
    """What came of a request that is over; a mistake in code is an exception of its task."""
    return task.exception() or task.result()


def _response(done: Racing) -> Any:
    """The response of a request that succeeded; raises the failure of one if none did."""
    found: Any = None
    try:
        found = (_succeeded(done) or list(done))[0].result()
        if isinstance(found, Exception):
            raise found
        return found
    finally:
        # An error leads to this frame.
        del found, done
