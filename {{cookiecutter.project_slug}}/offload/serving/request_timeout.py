"""Ends a request that has no response after a time."""

from functools import partial

from offload.problems import Problem
from offload.serving.load_shedding import InFlight
from offload.serving.sweeps import Sweeps
from offload.serving.types import ASGIApp


def request_timeout(
    sweeps: Sweeps, in_flight: InFlight, app: ASGIApp, *, seconds: float
) -> ASGIApp:
    """Cancel a request that has no response after `seconds`, and answer 503.

    The time begins when the body has arrived (`body_timeout.py` limits the body) and ends when the
    response starts: a stream and a download last as long as their client reads.

    No request passes this layer: it looks at those that are in flight anyway. A layer with a timer
    for each would cost 1 us.
    """
    sweeps.add(partial(_end_overdue, in_flight, seconds))
    return app


def _end_overdue(in_flight: InFlight, seconds: float, now: float) -> None:
    for state, since in tuple(in_flight.requests.items()):
        if now - since > seconds:
            state.end_early(
                Problem(
                    503,
                    f"The request took longer than {seconds:g} s and was ended. "
                    "Try again later, or ask for less.",
                    headers={"Retry-After": "1"},
                )
            )
