"""Fan-out: the room for waiting.

Declare each external API as an `Upstream`, and ask many at once with `gather`. The order of the
protections is in `pipeline.py`.
"""

from .cache import Cache
from .call import Call
from .circuit_breaker import CircuitBreaker
from .deadline import deadline, remaining
from .errors import BreakerOpen, DeadlineExceeded, Overloaded, TooLarge, Undecodable, UpstreamError
from .gather import gather
from .hedging import Hedge
from .lifespan import lifespan
from .middleware import DeadlineMiddleware
from .outcome import Outcome, Outcomes
from .retry import Retry
from .upstream import Upstream

__all__ = [
    "BreakerOpen",
    "Cache",
    "Call",
    "CircuitBreaker",
    "DeadlineExceeded",
    "DeadlineMiddleware",
    "Hedge",
    "Outcome",
    "Outcomes",
    "Overloaded",
    "Retry",
    "TooLarge",
    "Undecodable",
    "Upstream",
    "UpstreamError",
    "deadline",
    "gather",
    "lifespan",
    "remaining",
]
