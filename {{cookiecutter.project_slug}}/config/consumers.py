"""The WebSockets of this service, beside `/ws/jobs`."""

from django.urls import URLPattern

# Such as `path("ws/prices", Prices.as_asgi())`.
consumers: list[URLPattern] = []
