"""Views of the test project, each a promise to keep."""

import asyncio

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse


def sync_only(get_response):
    """A third party's middleware that knows nothing of async."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["X-Sync-Only"] = "was here"
        return response

    return middleware


async def ping(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pong": True})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def events():
        for number in range(100_000):
            yield f"id: {number}\n\n"
            await asyncio.sleep(0.05)

    return StreamingHttpResponse(events(), content_type="text/event-stream")
