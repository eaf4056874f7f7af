"""Ends the requests that have no response after a time."""

from offload.problems import Problem
from offload.serving.load_shedding import InFlight


def end_overdue_requests(in_flight: InFlight, max_seconds: float, now: float) -> None:
    """Cancel each request that has no response after `max_seconds`, and answer 503.

    The time begins when the body has arrived (`body_timeout.py` limits the body) and ends when the
    response starts: a stream and a download last as long as their client reads.

    This is no layer that a request passes. It looks at those that are in flight anyway; a layer
    with a timer for each would cost 1 us.

    Args:
        now: `perf_counter()`, in seconds.
    """
    for state, since in tuple(in_flight.requests.items()):
        if now - since > max_seconds:
            state.end_early(
                Problem(
                    503,
                    f"The request took longer than {max_seconds:g} s and was ended. "
                    "Try again later, or ask for less.",
                    headers={"Retry-After": "1"},
                )
            )
