"""Attempt timeout: bounds the time of one request."""

import asyncio
from time import monotonic

from .context import CallContext, R, Strategy
from .errors import DeadlineExceeded
from .http import httpx
from .stalls import Stalls


class AttemptTimeoutStrategy:
    """Ends one attempt after `attempt_timeout` seconds, or when the call's time is over.

    An attempt lasts from connecting to the last byte of the body; for a stream, to the end of the
    head. Time in which the event loop stood still does not count (`stalls.py`).

    Raises `httpx.TimeoutException` in the first case, `DeadlineExceeded` in the second.
    """

    def __init__(self, stalls: Stalls, inner: Strategy) -> None:
        self._stalls = stalls
        self._inner = inner

    async def __call__(self, context: CallContext[R]) -> R:
        limit = min(context.attempt_timeout, context.ends_at - monotonic())
        if limit <= 0:
            raise DeadlineExceeded("The deadline passed before the request was sent.")

        with context.time_request():
            try:
                async with asyncio.timeout(limit) as timeout:
                    self._stalls.enter(timeout)
                    try:
                        return await self._inner(context)
                    finally:
                        self._stalls.leave(timeout)
            except TimeoutError:
                raise _late(context, limit) from None


def _late(context: CallContext[R], limit: float) -> Exception:
    """Why an attempt was ended after so many seconds."""
    if limit < context.attempt_timeout:
        return DeadlineExceeded("The deadline passed before the response came.")

    awaited = "head of a response" if context.streaming else "whole response"
    return httpx.TimeoutException(
        f"No {awaited} within {limit} s (attempt_timeout).",
        request=httpx.Request(context.request.method, str(context.request.url)),
    )
