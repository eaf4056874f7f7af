"""Outcome: what a call came to. `Outcomes` holds one for each source of a `gather`."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .errors import OutcomeStatus, reason
from .http import httpx
from .required import required_problem
from .sent_request import SentRequest

T = TypeVar("T")


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

        Its status is 502, 503 or 504, as `required.answer_for` says.
        """
        failed = {
            name: self[name].error for name in names if self[name].status not in ("ok", "stale")
        }
        if failed:
            raise required_problem(failed, self.sources())
