"""Serving: the ASGI application, its request threads and its middleware."""

from offload.serving.application import Application
from offload.serving.middleware import AccessLog, Metrics, RequestId, SecurityHeaders, request_id
from offload.serving.request_thread import release

__all__ = [
    "AccessLog",
    "Application",
    "Metrics",
    "RequestId",
    "SecurityHeaders",
    "release",
    "request_id",
]
