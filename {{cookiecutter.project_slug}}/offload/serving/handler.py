"""Django behind the outer application: one handler a middleware chain."""

from collections.abc import Sequence

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from offload.serving.types import ASGIApp


def chain(middleware: Sequence[str]) -> ASGIApp:
    """A handler with this list of middleware. Django's handlers read `settings.MIDDLEWARE`, once, when they are built."""
    pages = settings.MIDDLEWARE
    settings.MIDDLEWARE = list(middleware)
    try:
        return ASGIHandler()
    finally:
        settings.MIDDLEWARE = pages
