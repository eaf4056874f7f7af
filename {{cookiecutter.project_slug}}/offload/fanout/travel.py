"""What travels with a request to its upstreams: trace context, request id, and the time that is
left.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

try:
    from opentelemetry import propagate  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    # Tracing is optional; the caller's own trace context is passed on as it came.
    propagate = None  # type: ignore[assignment,unused-ignore]

# Milliseconds the receiver has for the request; no RFC names one.
DEADLINE = "X-Request-Timeout-Ms"
# W3C Trace Context; the id our logs are found by.
PASSED_ON = ("traceparent", "tracestate", "x-request-id")

_incoming: ContextVar[Mapping[str, str]] = ContextVar(
    "offload_travelling", default=MappingProxyType({})
)


def meta_key(name: str) -> str:
    """Where Django's `request.META` keeps a header (RFC 3875 section 4.1.18)."""
    return "HTTP_" + name.upper().replace("-", "_")


_KEYS = {name: meta_key(name) for name in PASSED_ON}


class carrying:  # noqa: N801 - as `deadline`
    """Pass on what the headers in a request's META carry to every upstream called inside. Enter an
    instance once.
    """

    def __init__(self, meta: Mapping[str, str]) -> None:
        self._travelling = {name: meta[key] for name, key in _KEYS.items() if key in meta}

    def __enter__(self) -> None:
        self._before = _incoming.set(self._travelling)

    def __exit__(self, *_: object) -> None:
        _incoming.reset(self._before)


def outgoing() -> list[tuple[str, str]]:
    """The headers a call made now takes along."""
    carrier = dict(_incoming.get())
    if propagate is not None:
        propagate.inject(carrier)
    return list(carrier.items())
