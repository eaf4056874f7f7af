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
    def _use_time_zone(request) -> None:
        if name := request.session.get(SESSION_KEY):
            timezone.activate(name)
        else:
            timezone.deactivate()

    @staticmethod
    def _set_header(response):
        response["Server"] = "reader/1.11"
        return response

    async def _acall(self, request):
        self._use_time_zone(request)
        response = await self.get_response(request)
        return self._set_header(response)

    def __call__(self, request):
        if self._async:
            return self._acall(request)
        self._use_time_zone(request)
        return self._set_header(self.get_response(request))
