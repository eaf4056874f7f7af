"""Starlette with one route: about as little as a Python framework does."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def ping(request: Request) -> JSONResponse:
    """The same response as in the other services."""
    return JSONResponse({"pong": True})


application = Starlette(routes=[Route("/api/ping", ping)])
