import contextlib
from threading import local

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

_state = local()


def get_current_request():
    return getattr(_state, "request", None)


def get_current_user():
    request = get_current_request()
    return getattr(request, "user", None) if request else None


def clear_request() -> None:
    with contextlib.suppress(AttributeError):
        del _state.request


class AuditMiddleware:
    async_capable = True
    sync_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request):
        if self.is_async:
            return self.__acall__(request)
        _state.request = request
        try:
            return self.get_response(request)
        finally:
            clear_request()

    async def __acall__(self, request):
        _state.request = request
        try:
            return await self.get_response(request)
        finally:
            clear_request()
