"""The ASGI application for the WebSockets of a service."""

from typing import Any

from channels.routing import URLRouter
from django.urls import URLPattern, path, re_path

from offload.problems import Problem
from offload.serving.middleware import request_id
from offload.serving.raw_refusals import deny_websocket
from offload.serving.types import ASGIApp, Receive, Scope, Send
from offload.sockets.job_consumer import JobConsumer
from offload.sockets.socket_login import SocketLogin


def websocket_application(*routes: URLPattern) -> ASGIApp:
    """What `Application` is given: `/ws/jobs`, and a service's own consumers, behind the login.

    Args:
        routes: such as `path("ws/prices", Prices.as_asgi())`.
    """
    jobs = path("ws/jobs", JobConsumer.as_asgi())
    # Django's types know no ASGI application in a route.
    nothing: Any = _no_such_address
    return SocketLogin(URLRouter([jobs, *routes, re_path("", nothing)]))


async def _no_such_address(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(404, f"there is no WebSocket at {scope['path']}; there is one at /ws/jobs")
    await deny_websocket(problem, send, request_id.get())
