"""Fan-out: the room for waiting. Declare each external API as an `Upstream`, ask many at once with
`gather`.
"""

from .breaker import Breaker
from .cache import Cache
from .call import Call
from .deadline import deadline, remaining
from .errors import BreakerOpen, DeadlineExceeded, Overloaded, TooLarge, Undecodable, UpstreamError
from .gather import gather
from .hedge import Hedge
from .lifespan import lifespan
from .middleware import DeadlineMiddleware
from .outcome import Outcome, Outcomes
from .retry import Retry
from .upstream import Upstream

__all__ = [
    "Breaker",
    "BreakerOpen",
    "Cache",
    "Call",
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
