"""Propagation: trace context, request id and time limit are passed on from request to upstreams."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

from .request import Headers

try:
    from opentelemetry import propagate as otel  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    # OpenTelemetry is optional. Without it the caller's own trace context is passed on unchanged.
    otel = None  # type: ignore[assignment,unused-ignore]

# Milliseconds that the receiver has for the request; no RFC names such a header.
DEADLINE_HEADER = "X-Request-Timeout-Ms"
# W3C Trace Context, and the id by which the log lines of a request are found.
PROPAGATED_HEADERS = ("traceparent", "tracestate", "x-request-id")

_incoming: ContextVar[Mapping[str, str]] = ContextVar(
    "offload_propagated", default=MappingProxyType({})
)


def meta_key(name: str) -> str:
    """The key of a header in Django's `request.META` (RFC 3875, section 4.1.18)."""
    return "HTTP_" + name.upper().replace("-", "_")


_META_KEYS = {name: meta_key(name) for name in PROPAGATED_HEADERS}


class propagate:  # noqa: N801 - a class for speed, as `deadline` is
    """Pass the headers of an incoming request on to every upstream that is called inside.

    Enter an instance once.

    Args:
        meta: Django's `request.META`; only `PROPAGATED_HEADERS` are taken from it.
    """

    def __init__(self, meta: Mapping[str, str]) -> None:
        self._headers = {name: meta[key] for name, key in _META_KEYS.items() if key in meta}

    def __enter__(self) -> None:
        self._token = _incoming.set(self._headers)

    def __exit__(self, *_: object) -> None:
        _incoming.reset(self._token)


def propagated_headers() -> Headers:
    """The headers that a call made now has to carry besides its own."""
    headers = dict(_incoming.get())
    if otel is not None:
        otel.inject(headers)
    return list(headers.items())
