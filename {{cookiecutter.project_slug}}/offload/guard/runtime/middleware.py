"""In development: a response header that says where its request blocked the loop."""

from collections.abc import Awaitable, Callable
from time import monotonic

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import async_only_middleware

from offload.guard.runtime import stacks
from offload.guard.runtime.lifespan import recent

HEADER = "X-Offload-Blocked"
GetResponse = Callable[[HttpRequest], Awaitable[HttpResponse]]


@async_only_middleware
def blocked_header(get_response: GetResponse) -> GetResponse:
    """For the end of API_MIDDLEWARE under DEBUG, served by an application whose lifespan has the
    guard's.
    """

    async def middleware(request: HttpRequest) -> HttpResponse:
        began = monotonic()
        response = await get_response(request)
        watchdog = getattr(request, "scope", {}).get("state", {}).get("guard")
        if watchdog is not None:
            await watchdog.settle()
            mine = [
                block
                for block in recent
                if block.ended > began and block.request == stacks.label(request)
            ]
            if mine:
                response.headers[HEADER] = f"{mine[-1].seconds * 1000:.0f} ms at {mine[-1].place}"
        return response

    return middleware
