"""FastAPI and aiohttp, one session for all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi import FastAPI, Request

from fanout_apps import SOURCES
from fanout_apps.starlette_aiohttp import one


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One session for all, its pool without a limit."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app.state.session:
        yield


application = FastAPI(lifespan=lifespan, docs_url=None, openapi_url=None)


@application.get("/api/fan")
async def fan(request: Request) -> dict[str, Any]:
    """Ten upstreams at once."""
    calls = (one(request.app.state.session, source) for source in SOURCES)
    return {"answers": await asyncio.gather(*calls)}
