"""In development: a response header that says where its request blocked the event loop."""

from collections.abc import Awaitable, Callable
from time import monotonic

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import async_only_middleware

from offload.guard.runtime import stacks
from offload.guard.runtime.guard_lifespan import guard_of

HEADER = "X-Offload-Blocked"
GetResponse = Callable[[HttpRequest], Awaitable[HttpResponse]]


@async_only_middleware
def blocked_header(get_response: GetResponse) -> GetResponse:
    """Add the header `X-Offload-Blocked` to the response of a request that blocked the loop.

    The last middleware of API_MIDDLEWARE under DEBUG. It needs the guard's lifespan in the
    application and adds nothing without it.
    """

    async def middleware(request: HttpRequest) -> HttpResponse:
        began = monotonic()
        response = await get_response(request)

        guard = guard_of(request)
        if guard is None:
            return response

        await guard.watchdog.settle()
        label = stacks.request_label(request)
        for block in reversed(guard.blocks.recent()):
            if block.ended > began and block.request == label:
                response.headers[HEADER] = f"{block.seconds * 1000:.0f} ms at {block.place}"
                break
        return response

    return middleware
