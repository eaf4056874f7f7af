"""Middleware: gives every request its deadline, and propagates its headers to the upstreams."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from offload.conf import conf

from .deadline import deadline
from .propagation import propagate

# The key of `DEADLINE_HEADER` in `request.META` (RFC 3875, section 4.1.18).
DEADLINE_KEY = "HTTP_X_REQUEST_TIMEOUT_MS"
# Nine digits of milliseconds are 11 days. Python turns no string of 4,300 digits into a number.
MAX_DEADLINE_DIGITS = 9


class DeadlineMiddleware:
    """Sets the request's deadline: the service's `request_deadline`, or less if its caller says so.

    The caller says so in `X-Request-Timeout-Ms` (milliseconds). The middleware is native in sync
    and in async mode; neither changes the thread. The body of a streamed response is made after the
    middleware has returned, and has no deadline.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self._next = get_response
        self._max_seconds = conf().request_deadline
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        with self._deadline(request), propagate(request.META):
            return self._next(request)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        with self._deadline(request), propagate(request.META):
            return await cast(Awaitable[HttpResponseBase], self._next(request))

    def _deadline(self, request: HttpRequest) -> deadline:
        # META is read because `request.headers` would be built for this one header.
        asked = request.META.get(DEADLINE_KEY, "")
        if not asked.isdecimal() or len(asked) > MAX_DEADLINE_DIGITS:
            return deadline(self._max_seconds)
        seconds = int(asked) / 1000
        return deadline(min(seconds, self._max_seconds), asked=seconds < self._max_seconds)
