"""The pipeline: the protections of an upstream, in their order."""

from collections.abc import Callable
from functools import partial, reduce

from offload.observe.tracing import tracing

from .attempt_timeout import AttemptTimeoutStrategy
from .auth import AuthStrategy, TokenAuth
from .bulkhead import Bulkhead, BulkheadStrategy
from .circuit_breaker import Circuit, CircuitBreakerStrategy
from .context import Strategy
from .hedging import HedgingStrategy
from .http import httpx
from .limits import UpstreamLimits
from .metrics import Meter
from .rate_limiter import RateLimiterStrategy
from .retry import RetryBudget, RetryStrategy
from .send import SendStrategy
from .stalls import Stalls
from .traces import TracedAttemptStrategy


def build_pipeline(
    name: str,
    limits: UpstreamLimits,
    transport: httpx.AsyncBaseTransport,
    bulkhead: Bulkhead,
    circuit: Circuit,
    meter: Meter,
    auth: TokenAuth | None,
) -> Strategy:
    """The protections around one upstream's transport, outermost first.

    Calls, hedged requests and streams all pass through the strategies built here. A protection
    that the upstream does not declare (`None`) is left out.

    Cache and single flight stand in front of the pipeline, in `UpstreamClient`, for two reasons:

    - Cost: a response from the cache takes 10 us of CPU in front of the pipeline. Behind it, the
      task and the slot of a call would make it 34 us (measured with a transport that answers at
      once; the pipeline alone takes 11 us).
    - Deadlines: each caller of a shared call leaves at its own deadline, and the call goes on for
      the others.

    To add a protection, write a file with its strategy, and add one line below.
    """
    stalls = Stalls()
    budget = RetryBudget(limits.retry.budget_ratio, limits.retry.budget_min_per_second)
    return _wrap(
        partial(BulkheadStrategy, bulkhead),
        partial(RetryStrategy, limits.retry, budget, meter),
        partial(AuthStrategy, auth) if auth else None,
        partial(HedgingStrategy, limits.hedge, bulkhead, budget) if limits.hedge else None,
        partial(CircuitBreakerStrategy, limits.breaker, circuit, name, stalls),
        partial(RateLimiterStrategy, limits.rate) if limits.rate else None,
        partial(TracedAttemptStrategy, name, limits.propagate) if tracing.is_on else None,
        partial(AttemptTimeoutStrategy, stalls),
        innermost=SendStrategy(transport, limits.propagate, meter),
    )


def _wrap(*layers: Callable[[Strategy], Strategy] | None, innermost: Strategy) -> Strategy:
    """Each layer around the next one: `a, b, innermost=c` becomes `a(b(c))`."""
    declared = [layer for layer in layers if layer is not None]
    return reduce(lambda inner, layer: layer(inner), reversed(declared), innermost)
