"""Gives every request its deadline, and takes along what travels on to the upstreams."""

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

from offload.conf import conf

from .deadline import deadline
from .travel import DEADLINE, carrying, meta_key

DEADLINE_KEY = meta_key(DEADLINE)


class DeadlineMiddleware:
    """The request's deadline is the shorter of the service's `request_deadline` and what the
    caller's header gives.

    Native in both modes, no thread hop in either. A streamed body runs after the middleware and has
    no deadline.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self._next = get_response
        self._longest = conf().request_deadline
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        with deadline(self._seconds(request)), carrying(request.META):
            return self._next(request)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        with deadline(self._seconds(request)), carrying(request.META):
            return await cast(Awaitable[HttpResponseBase], self._next(request))

    def _seconds(self, request: HttpRequest) -> float:
        # `request.headers` is made anew for each request.
        asked = request.META.get(DEADLINE_KEY, "")
        return min(int(asked) / 1000, self._longest) if asked.isdecimal() else self._longest
