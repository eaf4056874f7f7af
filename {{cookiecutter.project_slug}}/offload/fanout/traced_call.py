"""Traced call: what a call came to, on the span of its caller."""

from typing import Any

from offload.observe.tracing import tracing

from .errors import reason
from .outcome import Outcome


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
