import os

import django
from aiohttp import web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "depot.settings")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

django.setup()

from .handler import Handler  # noqa: E402


async def server() -> web.Application:
    app = web.Application()
    app.add_routes([web.get("/content/{path:.+}", Handler().stream)])
    return app
