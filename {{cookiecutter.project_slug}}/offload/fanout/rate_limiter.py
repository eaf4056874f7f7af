"""Rate limiter: bounds how many requests this process sends to one upstream in a time."""

import asyncio
from time import monotonic

from aiolimiter import AsyncLimiter

from .context import CallContext, R, Strategy
from .errors import DeadlineExceeded

# (requests, seconds): at most so many requests in so many seconds.
Rate = tuple[float, float]


class RateLimiterStrategy:
    """Holds every request back until the rate allows it (a leaky bucket, by aiolimiter).

    Raises `DeadlineExceeded` if the call's time ends before.
    """

    def __init__(self, rate: Rate, inner: Strategy) -> None:
        self._limiter = AsyncLimiter(*rate)
        self._inner = inner

    async def __call__(self, context: CallContext[R]) -> R:
        started = monotonic()
        try:
            async with asyncio.timeout(context.ends_at - monotonic()):
                await self._limiter.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed while the rate limit held the call back."
            ) from None
        finally:
            context.held_back += monotonic() - started

        return await self._inner(context)
