"""Checks of what serves requests: connections, middleware, views, receivers."""

import inspect
import os
from collections.abc import Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.checks import CheckMessage, register
from django.core.signals import request_finished, request_started
from django.middleware.cache import CacheMiddleware
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from offload.conf import conf
from offload.guard.checks import TAG, error, warning


@register(TAG)
def databases(**_: object) -> Iterator[CheckMessage]:
    """E701 and E702: connections that leak, transactions that break async views."""
    for alias, database in settings.DATABASES.items():
        if database.get("CONN_MAX_AGE", 0) != 0 and not conf().lean:
            yield error(
                "E701",
                f"Database {alias!r} keeps connections (CONN_MAX_AGE), but every request gets a new thread: they leak.",
                "CONN_MAX_AGE = 0, or OFFLOAD = Offload(lean=True), whose request threads live on.",
            )
        if database.get("ATOMIC_REQUESTS"):
            yield error(
                "E702",
                f"Database {alias!r} has ATOMIC_REQUESTS: every async view fails at its first request.",
                "transaction.atomic in the one function that needs it.",
            )


@register(TAG)
def middleware(**_: object) -> Iterator[CheckMessage]:
    """E703, W703 and E704: middleware that cannot be async, and middleware that hops to a thread in
    the API's chain.
    """
    api = list(getattr(settings, "API_MIDDLEWARE", []))
    for name in dict.fromkeys([*api, *settings.MIDDLEWARE]):
        piece = import_string(name)
        if not getattr(piece, "async_capable", False):
            on_loop = name in api or not api
            say, number = (error, "E703") if on_loop else (warning, "W703")
            yield say(
                number,
                f"Middleware {name} is sync-only: it holds a thread for the whole of every request.",
                "a middleware with async_capable = True, such as those of offload.serving.middleware.",
            )
        elif name in api and _hops(piece):
            yield error(
                "E704",
                f"Middleware {name} runs in a thread, twice a request, in API_MIDDLEWARE.",
                "an async-native middleware; Django's own belong in MIDDLEWARE.",
            )


def _hops(piece: Any) -> bool:
    inherits = isinstance(piece, type) and issubclass(piece, MiddlewareMixin)
    return inherits and piece.__acall__ is MiddlewareMixin.__acall__


@register(TAG)
def views(**_: object) -> Iterator[CheckMessage]:
    """E705 and E706: async views that look sync, and cached views that ask the cache on the loop."""
    for view in _views(get_resolver()) if getattr(settings, "ROOT_URLCONF", None) else ():
        inner = inspect.unwrap(view)
        name = f"{inner.__module__}.{getattr(inner, '__qualname__', inner)}"
        if not iscoroutinefunction(inner):
            continue
        if not iscoroutinefunction(view):
            yield error(
                "E705",
                f"View {name} is async, but a decorator hides it: Django runs it as a sync view.",
                "a decorator whose wrapper is async, or marked with markcoroutinefunction.",
            )
        elif any(isinstance(held, CacheMiddleware) for held in _held(view)):
            yield error(
                "E706",
                f"View {name} is async and under cache_page, which asks the cache on the event loop.",
                "cache.aget and cache.aset inside the view.",
            )


def _views(resolver: URLResolver) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern)
        elif isinstance(pattern, URLPattern) and inspect.isfunction(pattern.callback):
            yield pattern.callback


def _held(view: Any) -> Iterator[object]:
    """What the wrappers around a view keep in their closures."""
    while view is not None:
        yield from (cell.cell_contents for cell in getattr(view, "__closure__", None) or ())
        view = getattr(view, "__wrapped__", None)


@register(TAG)
def environment(**_: object) -> Iterator[CheckMessage]:
    """E707: Django's own guard switched off."""
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        yield error(
            "E707",
            "DJANGO_ALLOW_ASYNC_UNSAFE is set: queries may run on the event loop, unseen.",
            "unset it, and await the a-methods.",
        )


@register(TAG)
def receivers(**_: object) -> Iterator[CheckMessage]:
    """W714: sync receivers that take every request through a thread."""
    for signal, name in (
        (request_started, "request_started"),
        (request_finished, "request_finished"),
    ):
        for receiver in signal._live_receivers(None)[0]:  # noqa: SLF001 - there is no public list
            if not receiver.__module__.startswith("django."):
                where = f"{receiver.__module__}.{getattr(receiver, '__qualname__', receiver)}"
                yield warning(
                    "W714", f"{where} is a sync receiver of {name}.", "an async receiver."
                )
