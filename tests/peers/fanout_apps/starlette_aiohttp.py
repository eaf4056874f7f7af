"""Starlette and aiohttp without a deadline, retries or outcomes: the least a fan-out costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fanout_apps import SOURCES, asked


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """One session for all, its pool without a limit."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app.state.session:
        yield


async def one(session: aiohttp.ClientSession, source: str) -> Any:
    async with session.get(f"{source}/prices", params=asked()) as response:
        return await response.json()


async def fan(request: Request) -> JSONResponse:
    """Ten upstreams at once."""
    calls = (one(request.app.state.session, source) for source in SOURCES)
    return JSONResponse({"answers": await asyncio.gather(*calls)})


application = Starlette(routes=[Route("/api/fan", fan)], lifespan=lifespan)
