"""A call as its caller sees it: described (`Call`), and under way (`PendingCall`, `run_calls`)."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from time import monotonic
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter

from offload.serving import release

from .client import ClientHolder
from .context import CANCEL_SECONDS
from .deadline import latest_end
from .errors import DeadlineExceeded, OutcomeStatus, is_source_fault, status_of
from .http import httpx
from .limits import CallLimits
from .outcome import Outcome, Outcomes
from .propagation import propagated_headers
from .raw_response import RawResponse
from .request import Headers, UpstreamRequest
from .sent_request import RequestStatus
from .single_flight import leave
from .traced_call import add_call_event

T = TypeVar("T")
U = TypeVar("U")

logger = logging.getLogger("offload.fanout")

# After this time the loop serves others, and then the next response is read.
READ_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to one upstream, and how its response is read. Nothing is sent yet.

    Made by `Upstream.get_json` and its like. `gather` makes many calls at once; `await call` makes
    one and raises if it fails.
    """

    holder: ClientHolder
    request: UpstreamRequest
    # Reads the value out of a 2xx response; a `ValueError` is a response that cannot be read.
    decode: Callable[[RawResponse], T]
    # Where this call has other limits than its upstream.
    limits: CallLimits | None = None

    def with_limits(
        self,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        attempts: int | None = None,
        max_bytes: int | None = None,
        skip_cache: bool = False,
    ) -> "Call[T]":
        """The same call with limits of its own; what is `None` stays the upstream's.

        Args:
            timeout: seconds for the call with all its retries.
            attempt_timeout: seconds for one request.
            attempts: requests, the first one included.
            max_bytes: of the decoded body.
            skip_cache: asks the upstream though a fresh response is kept. The new one is kept.
        """
        limits = CallLimits(
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            attempts=attempts,
            max_bytes=max_bytes,
            skip_cache=skip_cache,
        )
        return replace(self, limits=limits)

    def read(self, reader: Callable[[httpx.Response], U]) -> "Call[U]":
        """The same call, its value read by `reader`, which may raise `ValueError`.

        A `ValueError` becomes an outcome with the status `error`.
        """
        return self._with(lambda raw: reader(raw.response()))

    def into(self, model: type[U]) -> "Call[U]":
        """The same call, its JSON validated as `model`.

        Args:
            model: a pydantic model, a dataclass, `list[Price]`: any type that pydantic validates.
        """
        adapter: TypeAdapter[U] = _adapter(model)
        return self._with(lambda raw: adapter.validate_json(raw.json))

    def _with(self, decode: Callable[[RawResponse], U]) -> "Call[U]":
        return cast("Call[U]", replace(self, decode=cast(Any, decode)))

    async def outcome(self) -> Outcome[T]:
        """Make the call and return its outcome. Raises only mistakes in the calling code."""
        await release()
        name = self.holder.upstream
        return (await run_calls({name: self}))[name]

    def __await__(self) -> Generator[Any, None, T]:
        """Make the call and return its value.

        Raises a `Problem` with the status 502, 503 or 504 if the call fails.
        """
        return self._value().__await__()

    async def _value(self) -> T:
        await release()
        name = self.holder.upstream
        outcomes = await run_calls({name: self}, required=[name])
        return cast(T, outcomes[name].value)


# The validator of a model is built once.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


async def run_calls(
    calls: Mapping[str, Call[Any]], required: Collection[str] = (), limit: float = inf
) -> Outcomes:
    """Make these calls side by side, until the context's deadline at most; see `gather`.

    When this returns or raises, none of the calls is still under way for this caller.
    """
    ends_at, propagated = latest_end(), propagated_headers()
    waiting = deque(calls.items())
    started: dict[str, PendingCall[Any]] = {}
    pending: dict[str, PendingCall[Any]] = {}
    outcomes = Outcomes()
    try:
        while waiting or pending:
            while waiting and len(pending) < limit:
                name, call = waiting.popleft()
                started[name] = pending[name] = PendingCall(call, propagated)

            # The end of one call may end the gather, or let a waiting call start.
            each_end_counts = required or waiting
            over = await _wait(
                pending,
                ends_at,
                asyncio.FIRST_COMPLETED if each_end_counts else asyncio.ALL_COMPLETED,
            )
            await _read(over, pending, outcomes)
            outcomes.require([name for name in over if name in required])
    finally:
        await leave([each.shared for each in started.values() if each.shared])

    # In the order of the calls, and not in that in which they ended.
    return Outcomes((name, outcomes[name]) for name in calls)


async def _read(over: list[str], pending: dict[str, "PendingCall[Any]"], into: Outcomes) -> None:
    """Move the calls that are over from `pending` to their outcomes, in turns with other requests.

    To read the JSON of a megabyte takes 10 ms, and a gather may have waited for fifty of them.
    """
    until = monotonic() + READ_SECONDS
    for name in over:
        into[name] = pending.pop(name).outcome()
        if monotonic() > until:
            await asyncio.sleep(0)
            until = monotonic() + READ_SECONDS


async def _wait(
    pending: Mapping[str, "PendingCall[Any]"], ends_at: float, return_when: str
) -> list[str]:
    """Wait for some of the calls, or for the deadline. Returns the names of those that are over."""
    under_way = [call.shared for call in pending.values() if call.shared]
    if not under_way:
        return list(pending)

    # A call ends by itself in its time, unless its transport does not end when it is cancelled.
    last_end = max([shared.context.ends_at for shared in under_way]) + CANCEL_SECONDS
    timeout = min(ends_at, last_end) - monotonic()
    tasks = {shared.task for shared in under_way}
    done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=return_when)
    if not done:
        # The time has passed: for this caller, all calls are over.
        return list(pending)
    return [name for name, call in pending.items() if not call.shared or call.shared.task in done]


class PendingCall(Generic[T]):
    """One caller's call, from its start to its outcome.

    Three cases:
    1. `cached` is set: a kept response stands in for the call, and nothing is sent.
    2. `shared` is set: the call is under way, possibly for other callers, too.
    3. Neither is set: the deadline had passed before the start, and nothing is sent.
    """

    __slots__ = ("_call", "_client", "_started_at", "cached", "shared")

    def __init__(self, call: Call[T], propagated: Headers) -> None:
        self._call = call
        self._client = call.holder.get()
        self._started_at = monotonic()
        fresh = not call.limits or not call.limits.skip_cache
        self.cached = self._client.fresh(call.request) if fresh else None
        self.shared = (
            None if self.cached else self._client.start(call.request, propagated, call.limits)
        )

    def outcome(self) -> Outcome[T]:
        """The outcome, now that the call is over or its deadline has passed."""
        found = self._response()
        if isinstance(found, Exception):
            return self._failure(found)

        try:
            value = self._call.decode(found)
        except ValueError as cause:
            return self._failure(found.undecodable(cause))

        if self.cached:
            return self._outcome("ok", value, age=self.cached.age)
        self._client.store(self._call.request, found, self._started_at)
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
        request, status = self._call.request, status_of(error)
        # The other statuses are logged and counted elsewhere: an open circuit breaker when it
        # opens, a full bulkhead by the metric of outcomes.
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
                value = self._call.decode(cached.response)
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
