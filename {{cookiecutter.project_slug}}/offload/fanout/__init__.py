"""Fan-out: the room for waiting.

Declare each external API as an `Upstream`, and ask many at once with `gather`. The order of the
protections is in `pipeline.py`.
"""

from .auth import Token, TokenAuth
from .cache import Cache
from .call import Call, gather
from .circuit_breaker import CircuitBreaker
from .deadline import deadline, remaining
from .errors import (
    AuthFailed,
    BreakerOpen,
    DeadlineExceeded,
    Overloaded,
    TooLarge,
    Undecodable,
    UpstreamError,
)
from .hedging import Hedge
from .lifespan import lifespan
from .middleware import DeadlineMiddleware
from .oauth2 import OAuth2
from .outcome import Outcome, Outcomes
from .overview import breaker_states
from .retry import Retry
from .sent_request import SentRequest
from .upload import FilePart, Upload, multipart
from .upstream import Upstream

__all__ = [
    "AuthFailed",
    "BreakerOpen",
    "Cache",
    "Call",
    "CircuitBreaker",
    "DeadlineExceeded",
    "DeadlineMiddleware",
    "FilePart",
    "Hedge",
    "OAuth2",
    "Outcome",
    "Outcomes",
    "Overloaded",
    "Retry",
    "SentRequest",
    "Token",
    "TokenAuth",
    "TooLarge",
    "Undecodable",
    "Upload",
    "Upstream",
    "UpstreamError",
    "breaker_states",
    "deadline",
    "gather",
    "lifespan",
    "multipart",
    "remaining",
]
