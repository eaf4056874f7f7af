"""The state of one call while it passes through the pipeline."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from .http import httpx
from .request import Headers, UpstreamRequest
from .sent_request import RequestTimer

# A caller waits this long for what it has cancelled. aiohttp's connections are closed at once;
# another transport may be slow, and does not hold the caller longer.
CANCEL_SECONDS = 0.1

R = TypeVar("R")

# Sends one request over a transport and returns the response: read whole, or open for a stream.
Exchange = Callable[[httpx.AsyncBaseTransport, "CallContext[R]", Headers], Awaitable[R]]


@dataclass(slots=True)
class CallContext(Generic[R]):
    """What is sent, until when, and what was counted on the way.

    Calls and streams differ only in their context: the pipeline is the same. All instants are
    seconds of `time.monotonic()`.
    """

    request: UpstreamRequest
    # The headers of the request, and those that are propagated from the incoming request.
    headers: Headers
    # Bytes of the decoded body; reading more raises `TooLarge`.
    max_bytes: int
    exchange: Exchange[R]
    # The instant at which the call fails, however many callers still wait.
    ends_at: float
    # The latest deadline of the callers that wait for this call.
    wanted_until: float
    # Seconds for one request.
    attempt_timeout: float
    # Requests of the call, the first one included, hedged ones not.
    max_attempts: int
    # Whether the client of a request asked for `wanted_until`, and not the service itself.
    end_is_asked: bool = False
    # True for a stream: the exchange ends with the head, and the body is read afterwards.
    streaming: bool = False
    # The Authorization header, if a token is fetched for it.
    authorization: str | None = None
    # Requests sent, retries included, hedged requests not.
    attempts: int = 0
    # Whether a hedged request was started.
    hedged: bool = False
    # True in the context of a hedged request, which is a copy of its call's.
    is_hedge: bool = False
    # Every request of the call. The copy for a hedged request has the same list.
    timers: list[RequestTimer] = field(default_factory=list)
    # The span of the caller that started the call; None if its trace is not sampled.
    span: Any = None
    # Seconds for which the rate limit held the requests of this call back.
    held_back: float = 0.0
    # The instant at which the call was over; 0 until then.
    finished_at: float = 0.0
    # What to give back when the call is over; see `close`.
    on_close: list[Callable[[], None]] = field(default_factory=list)

    def time_request(self) -> RequestTimer:
        """A timer for the next request of this call."""
        timer = RequestTimer(self.is_hedge)
        self.timers.append(timer)
        return timer

    def time_left(self) -> float:
        """Seconds in which a response is still of use to somebody; negative once it is not."""
        return min(self.ends_at, self.wanted_until) - monotonic()

    def close(self) -> None:
        """Give back what the strategies hold for the whole call, such as its slot.

        A call is closed when its response has been read, a stream when its reader has left it.
        """
        while self.on_close:
            self.on_close.pop()()


class Strategy(Protocol):
    """One step of the pipeline. It calls the next step as often as it has to: 0, 1 or more times.

    A strategy returns the response of a 2xx status, and raises one of `errors.FAILURES` otherwise.
    """

    async def __call__(self, context: CallContext[R], /) -> R: ...
