"""Propagation: trace context, request id and time limit are passed on from request to upstreams."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

from offload.observe.tracing import trace_headers, tracing
from offload.serving import request_id

from .request import Headers

# Milliseconds that the receiver has for the request; no RFC names such a header.
DEADLINE_HEADER = "X-Request-Timeout-Ms"
# The id by which the log lines of a request are found.
REQUEST_ID_HEADER = "x-request-id"

_incoming: ContextVar[Mapping[str, str]] = ContextVar(
    "offload_propagated", default=MappingProxyType({})
)


class propagate:  # noqa: N801 - a class for speed, as `deadline` is
    """Pass the trace context of an incoming request on to every upstream that is called inside.

    Enter an instance once.

    Args:
        meta: Django's `request.META`.
    """

    def __init__(self, meta: Mapping[str, str]) -> None:
        self._headers = trace_headers(meta)

    def __enter__(self) -> None:
        self._token = _incoming.set(self._headers)

    def __exit__(self, *_: object) -> None:
        _incoming.reset(self._token)


def propagated_headers() -> Headers:
    """The headers that a call made now has to carry besides its own.

    The request id is the one that `serving.RequestId` set, and that our logs have: the caller's own
    only if it was sane.
    """
    headers = dict(_incoming.get())
    if ours := request_id.get():
        headers[REQUEST_ID_HEADER] = ours
    # Without tracing the caller's own trace context is passed on unchanged.
    headers |= tracing.headers()
    return list(headers.items())
