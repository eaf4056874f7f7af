"""`startproject` and httpx: an async view with one client for all."""

import asyncio

import httpx
from django.http import HttpRequest, JsonResponse
from django.urls import path

from fanout_apps import SOURCES
from fanout_apps.fastapi_httpx import NO_LIMITS, one

# A module-level client works here, because uvicorn has one event loop.
client = httpx.AsyncClient(timeout=30, limits=NO_LIMITS)


async def fan(request: HttpRequest) -> JsonResponse:
    """Ten upstreams at once."""
    return JsonResponse(
        {"answers": await asyncio.gather(*(one(client, source) for source in SOURCES))}
    )


urlpatterns = [path("api/fan", fan)]
