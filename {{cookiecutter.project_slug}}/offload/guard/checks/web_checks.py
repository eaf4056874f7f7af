"""Checks of what serves requests: connections, middleware, views, receivers."""

import inspect
import os
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
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
from offload.guard.checks.run_checks import TAG, error, warning

API_MIDDLEWARE = "API_MIDDLEWARE"


@register(TAG)
def check_databases(**_: object) -> Iterator[CheckMessage]:
    """E701: connections that are never closed."""
    for alias, database in settings.DATABASES.items():
        if database.get("CONN_MAX_AGE", 0) != 0 and not conf().lean:
            yield error(
                "E701",
                f"Database {alias!r} keeps connections (CONN_MAX_AGE), but each request gets a new"
                " thread with a new connection: the old ones stay open.",
                "CONN_MAX_AGE = 0, or OFFLOAD = Offload(lean=True), whose request threads live on.",
            )


@register(TAG)
def check_middleware(**_: object) -> Iterator[CheckMessage]:
    """E703, W703 and E704: middleware that holds a thread for each request.

    E703 in the chain of async views, W703 in the other chain: the middleware is sync-only. E704:
    the middleware of the API's chain is async, but runs its own code in a thread.
    """
    api = list(getattr(settings, "API_MIDDLEWARE", []))
    for name in dict.fromkeys([*api, *settings.MIDDLEWARE]):
        middleware = import_string(name)
        if not getattr(middleware, "async_capable", False):
            serves_async = name in api or not api
            report, number = (error, "E703") if serves_async else (warning, "W703")
            yield report(
                number,
                f"Middleware {name} is sync-only: each request holds a thread from begin to end.",
                "a middleware with async_capable = True, such as those of"
                " offload.serving.middleware.",
            )
        elif name in api and _runs_in_a_thread(middleware):
            yield error(
                "E704",
                f"Middleware {name} in API_MIDDLEWARE runs in a thread, twice per request.",
                "an async-native middleware; Django's own belong in MIDDLEWARE.",
            )


@register(TAG)
def check_name_of_api_middleware(**_: object) -> Iterator[CheckMessage]:
    """E709: a misspelt API_MIDDLEWARE, without which the API would pass MIDDLEWARE."""
    if hasattr(settings, API_MIDDLEWARE):
        return
    for name in dir(settings):
        # Other names that are as close may be a team's own, such as APP_MIDDLEWARE.
        if name.startswith("API") and get_close_matches(name, [API_MIDDLEWARE], cutoff=0.9):
            yield error(
                "E709",
                f"Nothing reads the setting {name}, and the API would pass MIDDLEWARE: did you mean"
                f" {API_MIDDLEWARE}?",
                f"{API_MIDDLEWARE}; or another name, if your own code reads it.",
            )


def _runs_in_a_thread(middleware: Any) -> bool:
    """Whether a middleware is async only by Django's mixin, which calls its methods in a thread."""
    inherits = isinstance(middleware, type) and issubclass(middleware, MiddlewareMixin)
    return inherits and middleware.__acall__ is MiddlewareMixin.__acall__


@register(TAG)
def check_views(**_: object) -> Iterator[CheckMessage]:
    """E702, E705 and E706: async views that fail, that look sync, or whose cache blocks."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    atomic = {name for name, each in settings.DATABASES.items() if each.get("ATOMIC_REQUESTS")}
    for view in _views(get_resolver()):
        inner = inspect.unwrap(view)
        name = f"{inner.__module__}.{getattr(inner, '__qualname__', inner)}"
        if not iscoroutinefunction(inner):
            continue

        is_async = iscoroutinefunction(view)
        if is_async and not atomic <= getattr(view, "_non_atomic_requests", set()):
            yield error(
                "E702",
                f"View {name} is async, and with ATOMIC_REQUESTS it fails at its first request.",
                "@transaction.non_atomic_requests on the view, and transaction.atomic on the sync"
                " function that needs it.",
            )
        if not is_async:
            yield error(
                "E705",
                f"View {name} is async, but a decorator hides it: Django runs it as a sync view.",
                "a decorator whose wrapper is async, or marked with markcoroutinefunction.",
            )
        elif any(isinstance(held, CacheMiddleware) for held in _held_by_wrappers(view)):
            yield error(
                "E706",
                f"View {name} is async and under cache_page, which reads the cache on the event"
                " loop.",
                "cache.aget and cache.aset inside the view.",
            )


def _views(resolver: URLResolver) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern)
        elif isinstance(pattern, URLPattern) and inspect.isfunction(pattern.callback):
            yield pattern.callback


def _held_by_wrappers(view: Any) -> Iterator[object]:
    """What the wrappers around a view hold in their closures.

    Django's decorators that are made of a middleware hold functions, which hold the middleware.
    """
    while view is not None:
        for held in _closure(view):
            yield held
            yield from _closure(held)
        view = getattr(view, "__wrapped__", None)


def _closure(function: object) -> Iterator[object]:
    for cell in getattr(function, "__closure__", None) or ():
        # The cell of a variable that has no value yet is empty, and raises.
        with suppress(ValueError):
            yield cell.cell_contents


@register(TAG)
def check_environment(**_: object) -> Iterator[CheckMessage]:
    """E707: Django's own guard is switched off."""
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        yield error(
            "E707",
            "DJANGO_ALLOW_ASYNC_UNSAFE is set: Django lets queries run on the event loop.",
            "unset it, and await the a-methods.",
        )


@register(TAG)
def check_receivers(**_: object) -> Iterator[CheckMessage]:
    """W714: sync receivers, which take every request through a thread."""
    signals = {"request_started": request_started, "request_finished": request_finished}
    for name, signal in signals.items():
        # The first of the two lists holds the sync ones.
        for receiver in signal._live_receivers(None)[0]:  # noqa: SLF001 - there is no public list
            if receiver.__module__.startswith("django."):
                continue
            where = f"{receiver.__module__}.{getattr(receiver, '__qualname__', receiver)}"
            yield warning("W714", f"{where} is a sync receiver of {name}.", "an async receiver.")
