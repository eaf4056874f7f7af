"""The single requests of a call: the first one, its retries and the hedged ones."""

import asyncio
from dataclasses import dataclass, replace
from time import monotonic
from types import TracebackType
from typing import Literal

from .errors import reason, status_of

RequestStatus = Literal["ok", "timeout", "error", "cancelled"]


@dataclass(slots=True)
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

    def rounded(self) -> "SentRequest":
        """This request with tenths of milliseconds, for JSON."""
        return replace(self, start_ms=round(self.start_ms, 1), ms=round(self.ms, 1))


class RequestTimer:
    """Times one request of a call, as a context manager around it. Instants are `monotonic()`."""

    __slots__ = ("error", "finished_at", "is_hedge", "started_at", "status")

    def __init__(self, is_hedge: bool) -> None:
        self.is_hedge = is_hedge
        self.started_at = monotonic()
        # The instant at which the request was over; 0 until then.
        self.finished_at = 0.0
        self.status: RequestStatus = "ok"
        self.error: str | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finished_at = monotonic()
        if error is None:
            return
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
            (self.started_at - started_at) * 1000,
            ((self.finished_at or left_at) - self.started_at) * 1000,
            self.status if self.finished_at else unfinished,
            self.is_hedge,
            self.error,
        )
