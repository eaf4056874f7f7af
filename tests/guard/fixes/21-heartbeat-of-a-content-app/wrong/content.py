import asyncio
import contextlib
import logging
import os
import socket

import django
from aiohttp import web
from asgiref.sync import sync_to_async

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "depot.settings")
django.setup()

from django.conf import settings  # noqa: E402

from .handler import Handler  # noqa: E402
from .models import AppStatus  # noqa: E402

log = logging.getLogger(__name__)


async def _heartbeat():
    name = f"{os.getpid()}@{socket.gethostname()}"
    interval = settings.CONTENT_APP_TTL // 4
    while True:
        status, created = AppStatus.objects.get_or_create(name=name)
        if not created:
            status.save_heartbeat()
        log.debug("Heartbeat of %s written; the next one follows in %s s", name, interval)
        await asyncio.sleep(interval)


async def _heartbeat_of_app(app: web.Application):
    task = asyncio.create_task(_heartbeat())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def server() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(_heartbeat_of_app)
    handler = await sync_to_async(Handler)()
    app.add_routes([web.get("/{path:.*}", handler.stream)])
    return app
