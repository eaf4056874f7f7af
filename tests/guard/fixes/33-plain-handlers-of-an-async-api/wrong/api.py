import inspect
import json
from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.http import HttpResponse, JsonResponse
from django.urls import path


class Api:
    def __init__(self, prefix: str = ""):
        self.prefix = prefix
        self.routes: dict[str, Callable] = {}

    def get(self, route: str):
        def register(handler: Callable) -> Callable:
            self.routes[route] = handler
            return handler

        return register

    @property
    def urls(self) -> list:
        return [
            path(f"{self.prefix}{route}", self._view(handler))
            for route, handler in self.routes.items()
        ]

    def _view(self, handler: Callable):
        is_async = inspect.iscoroutinefunction(handler)
        wants_request = "request" in inspect.signature(handler).parameters

        async def view(request, **kwargs):
            if wants_request:
                kwargs["request"] = request
            result = await self._dispatch(handler, is_async, kwargs)
            return await self._respond(result)

        return view

    async def _dispatch(self, handler: Callable, is_async: bool, kwargs: dict):
        if is_async:
            return await handler(**kwargs)
        return handler(**kwargs)

    @sync_to_async
    def _respond(self, result) -> HttpResponse:
        if isinstance(result, HttpResponse):
            return result
        return JsonResponse(json.loads(json.dumps(result, default=str)), safe=False)
