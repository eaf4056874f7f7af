"""Traces: a span of each request to an upstream, and what a call came to, on its caller's span."""

import asyncio
from typing import Any

from offload.observe.tracing import tracing

from .context import CallContext, R, Strategy
from .errors import FAILURES, reason
from .http import httpx
from .outcome import Outcome
from .raw_response import RawResponse
from .request import Headers


class TracedAttemptStrategy:
    """Makes a span of each request, retries and hedged ones included, and sends its id along.

    It is a child of the caller's span; of those who share a call, of the first caller's. Path,
    query and headers are left out, since they may hold secrets.
    """

    def __init__(self, upstream: str, propagate: bool, inner: Strategy) -> None:
        self._upstream = upstream
        self._propagate = propagate
        self._inner = inner

    async def __call__(self, context: CallContext[R]) -> R:
        if context.span is None:
            return await self._inner(context)

        span = self._begin(context)
        try:
            response = await self._inner(context)
        except httpx.HTTPStatusError as error:
            span.set_attribute("http.response.status_code", error.response.status_code)
            tracing.fail(span, str(error.response.status_code))
            raise
        except FAILURES as error:
            tracing.fail(span, type(error).__name__)
            raise
        except asyncio.CancelledError:
            # The caller left, its deadline passed, or the other one of two hedged requests won.
            span.set_attribute("offload.cancelled", True)
            raise
        else:
            # Read whole, or open for a stream.
            found: Any = response
            status = found.status if isinstance(found, RawResponse) else found.status_code
            span.set_attribute("http.response.status_code", status)
            return response
        finally:
            span.end()

    def _begin(self, context: CallContext[R]) -> Any:
        url, method = context.request.url, context.request.method
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": url.host or "",
            "server.port": url.port or 0,
            "offload.upstream": self._upstream,
        }
        if context.attempts and not context.is_hedge:
            attributes["http.request.resend_count"] = context.attempts
        if context.is_hedge:
            attributes["offload.hedge"] = True
        name = f"{method} {self._upstream}"
        span = tracing.begin(name, "CLIENT", context.span, attributes=attributes)
        if self._propagate:
            context.headers = _with_trace(context.headers, tracing.headers(span))
        return span


def _with_trace(headers: Headers, trace: dict[str, str]) -> Headers:
    """The headers with this trace context in place of the one that they have."""
    return [(name, value) for name, value in headers if name not in trace] + [*trace.items()]


def add_call_event(upstream: str, outcome: Outcome[Any], first_caller: Any) -> None:
    """Add the event `upstream.call` to the span of this context.

    Args:
        first_caller: the span of the caller that started the call, under which its attempts are. If
            that is another one, this caller's span gets a link to it.
    """
    span = tracing.current()
    if span is None or not span.is_recording():
        return

    found: dict[str, str | int | float] = {
        "offload.upstream": upstream,
        "offload.outcome": outcome.status,
        "offload.ms": round(outcome.ms, 1),
        "offload.attempts": outcome.attempts,
    }
    if outcome.hedged:
        found["offload.hedged"] = True
    if outcome.status == "stale" or (outcome.status == "ok" and not outcome.attempts):
        found["offload.cache_age_seconds"] = round(outcome.age, 1)
    if outcome.error is not None:
        found["error.type"] = reason(outcome.error)
    if first_caller is not None and first_caller is not span:
        found["offload.shared"] = True
        span.add_link(first_caller.get_span_context())
    span.add_event("upstream.call", found)
