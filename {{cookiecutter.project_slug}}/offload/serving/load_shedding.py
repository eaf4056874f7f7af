"""Answers 503 at once where a request more would only wait: load shedding."""

from dataclasses import dataclass, field

from offload.problems import Problem
from offload.serving import metrics
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(slots=True, eq=False)
class InFlight:
    """What a process is doing now, counted in three sets, each with its limit.

    Attributes:
        max_requests: of requests, and apart from them of unfinished bodies.
        max_streams: of event streams.
        bodies: requests whose body is not complete yet. They are counted apart, so that slow
            senders shed only each other.
        requests: requests that are being answered.
        streams: event streams that are open.
    """

    max_requests: int
    max_streams: int
    bodies: set[RequestState] = field(default_factory=set)
    requests: set[RequestState] = field(default_factory=set)
    streams: set[RequestState] = field(default_factory=set)

    def add_body(self, state: RequestState) -> None:
        """A part of the body arrived. Raises a `Problem` (503) at the limit."""
        if state not in self.bodies:
            if len(self.bodies) >= self.max_requests:
                raise _shed("bodies")
            self.bodies.add(state)

    def add_request(self, state: RequestState) -> None:
        """The request is complete. Raises a `Problem` (503) at the limit."""
        if state.has_body:
            self.bodies.discard(state)
        if len(self.requests) >= self.max_requests:
            raise _shed("requests")
        self.requests.add(state)

    def add_stream(self, state: RequestState) -> None:
        """The response is an event stream. Raises a `Problem` (503) at the limit."""
        if len(self.streams) >= self.max_streams:
            raise _shed("streams")
        self.requests.discard(state)
        self.streams.add(state)

    def remove(self, state: RequestState) -> None:
        """The request has ended."""
        self.requests.discard(state)
        if state.has_body:
            self.bodies.discard(state)
        self.streams.discard(state)


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
            if message["type"] == "http.request":
                if message.get("more_body", False):
                    self.in_flight.add_body(state)
                else:
                    self.in_flight.add_request(state)
            return message

        return counted_receive


def _shed(limit: str) -> Problem:
    metrics.SHED.labels(limit).inc()
    return Problem(
        503, "The service is at its limit. Try again in a moment.", headers={"Retry-After": "1"}
    )
