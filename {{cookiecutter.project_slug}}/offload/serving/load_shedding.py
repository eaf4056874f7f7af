"""Answers 503 at once where a request more would only wait, and to one that takes too long."""

from dataclasses import dataclass, field
from time import perf_counter

from offload.problems import Problem
from offload.serving import metrics
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

# At the limit a body that takes longer gives way to a new one. Nearly all are complete in a tenth
# of it. Without this rule, clients that send half bodies on purpose would shut out all others.
SLOW_BODY_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class InFlight:
    """What a process is doing now, counted in three sets, each with its limit.

    Attributes:
        max_requests: the most requests that are answered at once, and the most unfinished bodies.
        max_streams: the most event streams that are open.
        bodies: requests whose body is not complete yet, and since when (`perf_counter`). They are
            counted apart, so that slow senders shed only each other.
        requests: requests that are being answered, and since when.
        streams: event streams that are open.
    """

    max_requests: int
    max_streams: int
    bodies: dict[RequestState, float] = field(default_factory=dict)
    requests: dict[RequestState, float] = field(default_factory=dict)
    streams: set[RequestState] = field(default_factory=set)

    def add_body(self, state: RequestState) -> None:
        """Count a request whose body will arrive. At the limit a slow one gives way: the oldest.

        Raises:
            Problem: 503, there are too many, and none of them is slow.
        """
        now = perf_counter()
        if len(self.bodies) >= self.max_requests:
            oldest, since = next(iter(self.bodies.items()))
            if now - since < SLOW_BODY_SECONDS:
                raise _shed("bodies")
            del self.bodies[oldest]
            oldest.end_early(_shed("bodies"))
        self.bodies[state] = now

    def add_request(self, state: RequestState) -> None:
        """Count a request that is complete, and no longer as a body.

        Raises:
            Problem: 503, there are too many.
        """
        if state.has_body:
            self.bodies.pop(state, None)
        if len(self.requests) >= self.max_requests:
            raise _shed("requests")
        self.requests[state] = perf_counter()

    def add_stream(self, state: RequestState) -> None:
        """Count a request whose response is an event stream, and no longer as a request.

        Raises:
            Problem: 503, there are too many.
        """
        if len(self.streams) >= self.max_streams:
            raise _shed("streams")
        self.requests.pop(state, None)
        self.streams.add(state)

    def remove(self, state: RequestState) -> None:
        """The request has ended."""
        self.requests.pop(state, None)
        if state.has_body:
            self.bodies.pop(state, None)
        self.streams.discard(state)

    def end_overdue(self, max_seconds: float, now: float) -> None:
        """Cancel each request that has no response after `max_seconds`, and answer 503.

        The time begins when the body has arrived (`BodyTimeout` limits the body) and ends when the
        response starts: a stream and a download last as long as their client reads. A layer with a
        timer for each request would cost 1 us.

        Args:
            now: `perf_counter()`, in seconds.
        """
        for state, since in tuple(self.requests.items()):
            if now - since > max_seconds:
                state.end_early(
                    Problem(
                        503,
                        f"The request took longer than {max_seconds:g} s and was ended. "
                        "Try again later, or ask for less.",
                        headers={"Retry-After": "1"},
                    )
                )


class LoadShedding:
    """Counts requests and event streams, and refuses what is over the limits of `in_flight`.

    Probes are never shed: they tell whether the process works under load. A probe that answers
    with an event stream counts as a stream.
    """

    def __init__(self, app: ASGIApp, *, in_flight: InFlight) -> None:
        self.app = app
        self.in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            Problem: 503, also from the `receive` that the handler is given, and from
                `RequestState.declare_event_stream`.
        """
        state: RequestState = scope[REQUEST_STATE]
        state.on_event_stream.append(self.in_flight.add_stream)
        try:
            if state.has_body and not state.is_probe:
                self.in_flight.add_body(state)
                receive = self._counted(state, receive)
            elif not state.is_probe:
                self.in_flight.add_request(state)
            await self.app(scope, receive, send)
        finally:
            self.in_flight.remove(state)

    def _counted(self, state: RequestState, receive: Receive) -> Receive:
        """A `receive` that counts the request as a body until the body is complete."""

        async def counted_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                self.in_flight.add_request(state)
            return message

        return counted_receive


def _shed(limit: str) -> Problem:
    metrics.SHED.labels(limit).inc()
    return Problem(
        503, "The service is at its limit. Try again in a moment.", headers={"Retry-After": "1"}
    )
