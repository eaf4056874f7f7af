"""The base of all middleware here: one class for a sync and for an async chain."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

GetResponse = Callable[[HttpRequest], Any]


class Middleware:
    """Calls `before` with the request, and `after` with its response and what `before` returned.

    Neither may block: in an async chain both run on the event loop. Django's own middleware would
    cost an async chain two changes of thread a request, and an async-only one would cost a sync
    chain an event loop.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            # Django asks the instance whether it is async.
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)

        from_before = self.before(request)
        response: HttpResponseBase = self.get_response(request)
        self.after(request, response, from_before)
        return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        from_before = self.before(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except asyncio.CancelledError:
            self.cancelled(request, from_before)
            raise
        self.after(request, response, from_before)
        return response

    def before(self, request: HttpRequest) -> Any:
        """Called before the view. What it returns is given to `after` or `cancelled`."""

    def after(self, request: HttpRequest, response: HttpResponseBase, from_before: Any) -> None:
        """Called after the view."""

    def cancelled(self, request: HttpRequest, from_before: Any) -> None:
        """Called instead of `after` if the view was cancelled, mostly because its client left."""
