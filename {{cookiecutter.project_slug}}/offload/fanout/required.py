"""Required: how a request is answered when a source that it needs has no value."""

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any, NamedTuple

from offload.problems import Problem

from .errors import BreakerOpen, Overloaded, is_source_fault, status_of
from .http import httpx
from .retry_after import MAX_PASSED_ON_SECONDS, retry_after

# Asked of our caller where nobody said how long it will take.
DEFAULT_RETRY_AFTER_SECONDS = 1.0


class Answer(NamedTuple):
    """The status for one failed source, and when to ask again.

    `retry_after` is in seconds; 0 is "later", `None` is "never: the source would refuse it again".
    """

    status: int
    retry_after: float | None


def answer_for(error: Exception | None) -> Answer:
    """What our own caller is told when a required source failed like this.

    Four cases (RFC 9110, sections 15.6.3 to 15.6.5):
    1. The source refused the request, or its response is of no use: 502, and no second try.
    2. It came too late: 504.
    3. Too much is asked of it, or nothing is sent to it for a while: 503, with Retry-After.
    4. It is broken, not to be reached, or nobody knows what happened: 502.
    """
    if error is None:
        return Answer(502, 0.0)
    if not is_source_fault(error):
        return Answer(502, None)
    if status_of(error) == "timeout":
        return Answer(504, 0.0)
    if isinstance(error, BreakerOpen | Overloaded):
        return Answer(503, error.retry_after)
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (429, 503):
        return Answer(503, retry_after(error.response) or DEFAULT_RETRY_AFTER_SECONDS)
    return Answer(502, 0.0)


def required_problem(
    failed: Mapping[str, Exception | None], sources: Mapping[str, Mapping[str, Any]]
) -> Problem:
    """The problem that a request ends with.

    Args:
        failed: the error of each required source that has no value.
        sources: the outcomes of all sources, for the body.
    """
    names = ", ".join(sorted(failed))
    answer = _decisive([answer_for(error) for error in failed.values()])
    if answer.retry_after is None:
        detail = f"The response of {names}, needed for this request, is a refusal or not usable."
        return Problem(answer.status, detail, sources=sources)

    seconds = ceil(min(answer.retry_after, MAX_PASSED_ON_SECONDS))
    return Problem(
        answer.status,
        f"No answer from {names}, needed for this request. Try again "
        + (f"in {seconds} s." if seconds else "later."),
        headers={"Retry-After": str(seconds)} if seconds else None,
        sources=sources,
    )


def _decisive(answers: Iterable[Answer]) -> Answer:
    """Of several answers the one that holds longest: a refusal, then the longest Retry-After."""
    never = float("inf")
    return max(
        answers,
        key=lambda each: (never if each.retry_after is None else each.retry_after, -each.status),
    )
