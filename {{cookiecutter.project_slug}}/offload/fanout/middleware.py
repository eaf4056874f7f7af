"""Middleware: gives every request its deadline, and propagates its headers to the upstreams."""

from collections.abc import Awaitable

from django.http import HttpRequest, HttpResponseBase

from offload.conf import conf
from offload.serving.middleware.base import GetResponse, Middleware

from .deadline import deadline
from .propagation import propagate

# The key of `DEADLINE_HEADER` in `request.META` (RFC 3875, section 4.1.18).
DEADLINE_KEY = "HTTP_X_REQUEST_TIMEOUT_MS"
# Nine digits of milliseconds are 11 days. Python turns no string of 4,300 digits into a number.
MAX_DEADLINE_DIGITS = 9


class DeadlineMiddleware(Middleware):
    """Sets the request's deadline: the service's `request_deadline`, or less if its caller says so.

    The caller says so in `X-Request-Timeout-Ms` (milliseconds). The body of a streamed response is
    made after the middleware has returned, and has no deadline.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        self._max_seconds = conf().request_deadline

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        with self._deadline(request), propagate(request.META):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with self._deadline(request), propagate(request.META):
            response: HttpResponseBase = await self.get_response(request)
            return response

    def _deadline(self, request: HttpRequest) -> deadline:
        # META is read because `request.headers` would be built for this one header.
        asked = request.META.get(DEADLINE_KEY, "")
        if not asked.isdecimal() or len(asked) > MAX_DEADLINE_DIGITS:
            return deadline(self._max_seconds)
        seconds = int(asked) / 1000
        return deadline(min(seconds, self._max_seconds), asked=seconds < self._max_seconds)
