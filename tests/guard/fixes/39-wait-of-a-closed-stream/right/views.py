import asyncio

from django.http import StreamingHttpResponse

from .listeners import Listener, manager

KEEP_ALIVE_SECONDS = 20


def encode(channel: str, data: str) -> str:
    return f"event: message\nid: {channel}\ndata: {data}\n\n"


async def stream(listener: Listener):
    try:
        while True:
            future = asyncio.ensure_future(listener.aevent.wait())
            try:
                while True:
                    done, _ = await asyncio.wait([future], timeout=KEEP_ALIVE_SECONDS)
                    if done:
                        break
                    yield "event: keep-alive\ndata:\n\n"
            finally:
                future.cancel()
            body = "".join(encode(channel, data) for channel, data in listener.take())
            if body:
                yield body
    finally:
        manager.remove(listener)


async def events(request):
    channels = set(request.GET.getlist("channel"))
    listener = Listener(channels, asyncio.get_running_loop())
    manager.add(listener)
    return StreamingHttpResponse(stream(listener), content_type="text/event-stream")
