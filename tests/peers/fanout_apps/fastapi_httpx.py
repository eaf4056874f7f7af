"""FastAPI and httpx, as most services have it: one client for all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request

from fanout_apps import SOURCES, asked

NO_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for all, its pool without a limit."""
    async with httpx.AsyncClient(timeout=30, limits=NO_LIMITS) as app.state.client:
        yield


application = FastAPI(lifespan=lifespan, docs_url=None, openapi_url=None)


async def one(client: httpx.AsyncClient, source: str) -> Any:
    response = await client.get(f"{source}/prices", params=asked())
    return response.json()


@application.get("/api/fan")
async def fan(request: Request) -> dict[str, Any]:
    """Ten upstreams at once."""
    return {
        "answers": await asyncio.gather(
            *(one(request.app.state.client, source) for source in SOURCES)
        )
    }
