"""A call under way: one caller's, from its start to its outcome."""

import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, TypeVar

from .client import UpstreamClient
from .errors import DeadlineExceeded, OutcomeStatus, is_source_fault, status_of, without_frames
from .http import httpx
from .limits import CallLimits
from .outcome import Outcome
from .raw_response import RawResponse
from .request import Headers, UpstreamRequest
from .sent_request import RequestStatus
from .traces import add_call_event

T = TypeVar("T")

logger = logging.getLogger("offload.fanout")


class PendingCall(Generic[T]):
    """One caller's call, from its start to its outcome.

    Three cases:
    1. `cached` is set: a kept response stands in for the call, and nothing is sent.
    2. `shared` is set: the call is under way, possibly for other callers, too.
    3. Neither is set: the deadline had passed before the start, and nothing is sent.
    """

    __slots__ = ("_client", "_decode", "_request", "_started_at", "cached", "shared")

    def __init__(
        self,
        client: UpstreamClient,
        request: UpstreamRequest,
        decode: Callable[[RawResponse], T],
        limits: CallLimits | None,
        propagated: Headers,
    ) -> None:
        self._client = client
        self._request = request
        self._decode = decode
        self._started_at = monotonic()
        fresh = not limits or not limits.skip_cache
        self.cached = client.fresh(request) if fresh else None
        self.shared = None if self.cached else client.start(request, propagated, limits)

    def outcome(self) -> Outcome[T]:
        """The outcome, now that the call is over or its deadline has passed."""
        found = self._response()
        if isinstance(found, Exception):
            return self._failure(found)

        try:
            value = self._decode(found)
        except ValueError as cause:
            return self._failure(without_frames(found.undecodable(cause)))

        if self.cached:
            return self._outcome("ok", value, age=self.cached.age)
        self._client.store(self._request, found, self._started_at)
        return self._outcome("ok", value)

    def _response(self) -> RawResponse | Exception:
        if self.cached:
            return self.cached.response
        if self.shared is None:
            return DeadlineExceeded("The deadline passed before the request was sent.")
        if not self.shared.task.done():
            return DeadlineExceeded("The deadline passed before the response came.")
        # A failure is returned; a mistake in code is raised here.
        return self.shared.task.result()

    def _failure(self, error: Exception) -> Outcome[T]:
        """The outcome of a call that failed: a stale response in its place, or the error."""
        request, status = self._request, status_of(error)
        # The other statuses are logged elsewhere: an open circuit breaker when it opens, and a full
        # bulkhead once a minute.
        if status in ("timeout", "error"):
            logger.log(
                self._client.log_level(request, error),
                "Upstream %s: %s %s failed: %r",
                self._client.name,
                request.method,
                request.url.path,
                error,
                extra=self._log_fields(status),
            )

        if not is_source_fault(error):
            # A right may have been revoked, or the thing deleted: nothing stands in for the call
            # now, nor in an outage that follows.
            if isinstance(error, httpx.HTTPStatusError):
                self._client.forget(request)
        elif cached := self._client.stale(request):
            # The response may have been kept for a call that reads it in another way.
            with suppress(ValueError):
                value = self._decode(cached.response)
                return self._outcome("stale", value, age=cached.age, error=error)
        return self._outcome(status, error=error)

    def _log_fields(self, status: OutcomeStatus) -> dict[str, Any]:
        """The facts of a log line about a call that failed; `ms` is in milliseconds."""
        return {
            "upstream": self._client.name,
            "outcome": status,
            "attempts": self.shared.context.attempts if self.shared else 0,
            "ms": round((monotonic() - self._started_at) * 1000, 2),
        }

    def _outcome(self, status: OutcomeStatus, value: T | None = None, **more: Any) -> Outcome[T]:
        if self.shared is None:
            self._client.meter.outcome(status, None)
            alone = Outcome(status, (monotonic() - self._started_at) * 1000, value, **more)
            add_call_event(self._client.name, alone, None)
            return alone

        context = self.shared.context
        ended_at = context.finished_at or monotonic()
        seconds = ended_at - self._started_at
        self._client.meter.outcome(status, seconds if context.attempts else None)

        # A call that is over has cancelled the other request of a hedge. One that is not over was
        # too slow for this caller.
        unfinished: RequestStatus = "cancelled" if context.finished_at else "timeout"
        # A generator would cost a microsecond more.
        requests = tuple(
            [
                timer.seen_by_caller(self._started_at, ended_at, unfinished)
                for timer in context.timers
            ]
        )
        outcome = Outcome(
            status, seconds * 1000, value, context.attempts, context.hedged, requests, **more
        )
        add_call_event(self._client.name, outcome, context.span)
        return outcome
