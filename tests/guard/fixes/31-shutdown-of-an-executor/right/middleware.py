from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from .contexts import RequestThreads


class RequestThreadsMiddleware:
    async_capable = True
    sync_capable = False

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    async def __call__(self, request):
        async with RequestThreads():
            return await self.get_response(request)
