"""What became of a call: one `Outcome` a source, and `Outcomes`, their table."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from offload.problems import Problem

from .errors import Status, reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one call came to.

    Attributes:
        status: `ok`; `stale` (an older answer in place of a failed call); `timeout`; `open`
            (circuit breaker); `rejected` (bulkhead full); or `error`.
        value: what was asked for, with `ok` and `stale`; else `None`.
        ms: milliseconds the caller waited, queueing and retries included.
        attempts: requests sent, hedged ones not included; 0 if the answer came from the cache or
            nothing was sent.
        hedged: a second, parallel request was sent.
        age: seconds since the value was fetched; 0 unless it came from the cache.
        error: why the call failed, with every status but `ok`: an `httpx.HTTPError` or an
            `UpstreamError`.
    """

    status: Status
    ms: float
    value: T | None = None
    attempts: int = 0
    hedged: bool = False
    age: float = 0.0
    error: Exception | None = None

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
        """Every source with its `status`, `ms`, `attempts`, `hedged`, `age` and `error`, ready for
        JSON.
        """
        return {name: outcome.source() for name, outcome in self.items()}

    def require(self, names: Collection[str]) -> None:
        """Raise a 503 `Problem`, with all sources told, unless each of these has a value."""
        failed = [name for name in names if self[name].status not in ("ok", "stale")]
        if failed:
            raise Problem(
                503,
                f"No answer from {', '.join(sorted(failed))}, needed for this request. Try again later.",
                sources=self.sources(),
            )
