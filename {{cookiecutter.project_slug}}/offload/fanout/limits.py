"""What bounds the calls to one upstream: times, sizes, and the settings of the protections."""

from dataclasses import dataclass, field, fields

from .cache import Cache
from .circuit_breaker import CircuitBreaker
from .hedging import Hedge
from .rate_limiter import Rate
from .retry import Retry


@dataclass(eq=False, kw_only=True)
class UpstreamLimits:
    """The limits of an upstream, to which `Upstream` adds the address. Seconds and bytes."""

    # A call with all its retries. A request's own deadline can only shorten it.
    timeout: float = 5.0
    # One request, from connecting to the last byte.
    attempt_timeout: float = 2.0
    # A lost SYN is sent again after 1 s (RFC 6298): a longer wait rarely helps.
    connect_timeout: float = 1.0
    # Calls in flight; also the size of the connection pool.
    max_in_flight: int = 64
    # Calls that wait for a slot; the next one is refused with `Overloaded`.
    max_waiting: int = 64
    # Of a decoded body: json.loads of a megabyte blocks the event loop for some 10 ms.
    max_bytes: int = 2**20
    # Whether trace context, request id and time limit are passed on. `False` for a third party.
    propagate: bool = True
    # No request is sent over a connection older than this: a name that gets another address, and a
    # certificate that is renewed, are seen by then. .NET's IHttpClientFactory has the same value.
    max_connection_age: float = 120.0
    # Idle connections are closed after this time, before the upstream closes them: uvicorn and
    # Node do so after 5 s.
    keepalive: float = 4.0
    retry: Retry = field(default_factory=Retry)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    # Equal reads that are made at the same time share one request.
    single_flight: bool = True
    # (requests, seconds): at most so many requests in so many seconds, from this process.
    rate: Rate | None = None
    # `None`: no request is hedged.
    hedge: Hedge | None = None
    # `None`: no response is kept.
    cache: Cache | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Limits of one call; `None` is the upstream's. Seconds and bytes; see `UpstreamLimits`."""

    timeout: float | None = None
    attempt_timeout: float | None = None
    # Requests of the call, the first one included; see `Retry.attempts`.
    attempts: int | None = None
    max_bytes: int | None = None
    # Whether a kept response may not stand in for the call before it was tried.
    skip_cache: bool = False

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.name != "skip_cache" and value is not None and not value > 0:
                raise ValueError(f"{limit.name} has to be above 0, and is {value}")
