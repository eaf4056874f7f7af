"""Refuses a request that has no response after a time."""

from time import perf_counter

from offload.problems import Problem
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.sweeps import Sweeps
from offload.serving.types import ASGIApp, Receive, Scope, Send


class RequestTimeout:
    """Cancels a request that has no response after `seconds`, and answers 503.

    The time begins when the body has arrived (`body_timeout.py` limits the body) and ends when the
    response starts: a stream and a download last as long as their client reads.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, sweeps: Sweeps) -> None:
        self.app = app
        self.seconds = seconds
        # By request since when it is worked on (`perf_counter`).
        self._since: dict[RequestState, float] = {}
        sweeps.add(self._check)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        self._since[state] = perf_counter()
        try:
            await self.app(scope, receive, send)
        finally:
            del self._since[state]

    def _check(self, now: float) -> None:
        for state, since in tuple(self._since.items()):
            if state.has_body and not state.has_received_body:
                self._since[state] = now
            elif now - since > self.seconds and not state.response_started:
                state.end_early(
                    Problem(
                        503,
                        f"The request took longer than {self.seconds:g} s and was ended. "
                        "Try again later, or ask for less.",
                        headers={"Retry-After": "1"},
                    )
                )
