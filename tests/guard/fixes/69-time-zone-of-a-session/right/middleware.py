from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.utils import timezone

SESSION_KEY = "time_zone"


class ReaderMiddleware:
    """Sets the server's header and the reader's time zone."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    @staticmethod
    def _activate(name: str | None) -> None:
        if name:
            timezone.activate(name)
        else:
            timezone.deactivate()

    def _use_time_zone(self, request) -> None:
        self._activate(request.session.get(SESSION_KEY))

    async def _ause_time_zone(self, request) -> None:
        self._activate(await request.session.aget(SESSION_KEY))

    @staticmethod
    def _set_header(response):
        response["Server"] = "reader/1.11"
        return response

    async def _acall(self, request):
        await self._ause_time_zone(request)
        response = await self.get_response(request)
        return self._set_header(response)

    def __call__(self, request):
        if self._async:
            return self._acall(request)
        self._use_time_zone(request)
        return self._set_header(self.get_response(request))
