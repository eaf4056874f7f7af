"""The single requests of a call: the first one, its retries and the hedged ones."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Literal

from .errors import reason, status_of

RequestStatus = Literal["ok", "timeout", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request of a call, as a caller of the call sees it.

    Attributes:
        start_ms: milliseconds from the caller's start until the request was sent. It is negative if
            the request was under way before, for another caller.
        ms: milliseconds until its response was read, until it failed, or until the caller left.
        status: `ok`; `timeout`; `error`; or `cancelled`, if the other request of a hedge was first.
        is_hedge: whether it was sent beside a slow one; otherwise it is the first one, or a retry.
        error: why it failed, such as `HTTP 503`; `None` otherwise.
    """

    start_ms: float
    ms: float
    status: RequestStatus
    is_hedge: bool
    error: str | None = None


@dataclass(slots=True)
class RequestTimer:
    """Times one request of a call, as a context manager around it. Instants are `monotonic()`."""

    is_hedge: bool
    started_at: float = field(default_factory=monotonic)
    # The instant at which the request was over; 0 until then.
    finished_at: float = 0.0
    status: RequestStatus = "ok"
    error: str | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finished_at = monotonic()
        if isinstance(error, Exception):
            self.status = "timeout" if status_of(error) == "timeout" else "error"
            self.error = reason(error)
        elif isinstance(error, asyncio.CancelledError):
            self.status = "cancelled"

    def seen_by_caller(
        self, started_at: float, left_at: float, unfinished: RequestStatus
    ) -> SentRequest:
        """This request, for a caller that waited between two instants.

        Args:
            started_at: when the caller started.
            left_at: when the caller got its outcome.
            unfinished: the status of a request that is not over yet.
        """
        return SentRequest(
            start_ms=round((self.started_at - started_at) * 1000, 1),
            ms=round(((self.finished_at or left_at) - self.started_at) * 1000, 1),
            status=self.status if self.finished_at else unfinished,
            is_hedge=self.is_hedge,
            error=self.error,
        )
