"""The fan-out room under Starlette. Beside `starlette_aiohttp`, it shows the cost of the room."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import django
from django.conf import settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

settings.configure()
django.setup()

from fanout_apps.upstreams import ask  # noqa: E402  # Django's settings come first
from offload import fanout  # noqa: E402


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """Open the upstreams."""
    async with fanout.lifespan({}):
        yield


async def fan(request: Request) -> JSONResponse:
    """Ten upstreams at once."""
    outcomes = await ask()
    return JSONResponse(
        {"answers": [outcome.value for outcome in outcomes.values()], "sources": outcomes.sources()}
    )


application = Starlette(routes=[Route("/api/fan", fan)], lifespan=lifespan)
