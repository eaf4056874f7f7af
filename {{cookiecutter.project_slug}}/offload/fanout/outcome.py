"""Outcome: what a call came to, and how a request is answered without a source that it needs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, NamedTuple, TypeVar

from offload.problems import Problem

from .errors import (
    BreakerOpen,
    OutcomeStatus,
    Overloaded,
    is_source_fault,
    reason,
    retry_after,
    status_of,
)
from .http import httpx
from .sent_request import SentRequest

T = TypeVar("T")

# Asked of our caller where nobody said how long it will take.
DEFAULT_RETRY_AFTER_SECONDS = 1.0
# What is passed on to our own callers is a day at most.
MAX_PASSED_ON_SECONDS = 86400.0


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


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one call came to.

    Attributes:
        status: `ok`; `stale` (a kept response in place of a failed call); `timeout`; `open`
            (circuit breaker); `rejected` (bulkhead full); or `error`.
        value: what was asked for, if the status is `ok` or `stale`; otherwise `None`.
        ms: milliseconds the caller waited, queueing and retries included, but not the time for
            which the `limit` of a gather held the call back.
        attempts: requests sent, retries included, a hedged one not; 0 if the value came from the
            cache or nothing was sent.
        hedged: whether a second, parallel request was sent.
        requests: each request that was sent, hedged ones included, in the order of their starts.
        age: seconds since the value was fetched; 0 unless it came from the cache.
        error: why the call failed, if the status is not `ok`: an `httpx.HTTPError` or an
            `UpstreamError`.
    """

    status: OutcomeStatus
    ms: float
    value: T | None = None
    attempts: int = 0
    hedged: bool = False
    requests: tuple[SentRequest, ...] = ()
    age: float = 0.0
    error: Exception | None = None

    @property
    def http_status(self) -> int | None:
        """The status of the response, if the call failed because it was not 2xx; such as 404."""
        error = self.error
        return error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None

    def source(self) -> dict[str, Any]:
        """This outcome without its value, ready for JSON."""
        found = {
            "status": self.status,
            "ms": round(self.ms, 1),
            "attempts": self.attempts,
            "hedged": self.hedged,
            "age": round(self.age, 1),
        }
        return found | {"error": reason(self.error)} if self.error else found


class Outcomes(dict[str, Outcome[Any]]):
    """The outcomes of a `gather`, by source name."""

    def sources(self) -> dict[str, dict[str, Any]]:
        """The outcome of every source without its value, ready for JSON."""
        return {name: outcome.source() for name, outcome in self.items()}

    def requests(self) -> dict[str, list[SentRequest]]:
        """The single requests of every source, ready for JSON: a waterfall."""
        return {
            name: [request.rounded() for request in outcome.requests]
            for name, outcome in self.items()
        }

    def require(self, names: Collection[str]) -> None:
        """Raise a `Problem` that lists all sources, unless each of these has a value.

        Its status is 502, 503 or 504, as `answer_for` says.
        """
        failed = {
            name: self[name].error for name in names if self[name].status not in ("ok", "stale")
        }
        if failed:
            raise required_problem(failed, self.sources())
