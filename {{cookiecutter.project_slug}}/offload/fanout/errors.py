"""What can go wrong with an upstream call beside httpx's own exceptions, and the status each
failure has.
"""

from typing import ClassVar, Literal

from .http import httpx

Status = Literal["ok", "stale", "timeout", "open", "rejected", "error"]


class UpstreamError(Exception):
    """A call that failed for a reason httpx has no name for."""

    status: ClassVar[Status] = "error"


class DeadlineExceeded(UpstreamError):
    """The time this call was given is over."""

    status = "timeout"


class BreakerOpen(UpstreamError):
    """Too many of the last calls failed: nothing is sent until the upstream has had time to
    recover.
    """

    status = "open"


class Overloaded(UpstreamError):
    """As many calls as allowed are in flight, and as many as allowed are waiting."""

    status = "rejected"


class TooLarge(UpstreamError):
    """The body is larger than `max_bytes` after decoding; the connection was closed there."""


class Undecodable(UpstreamError):
    """The upstream answered 2xx with a body that isn't what was asked for."""


# All a call can fail with; anything else is a mistake in code and raised.
FAILURES = (UpstreamError, httpx.HTTPError)


def status_of(error: Exception) -> Status:
    """The status that an outcome with this error has."""
    if isinstance(error, UpstreamError):
        return error.status
    return "timeout" if isinstance(error, httpx.TimeoutException) else "error"


def reason(error: Exception) -> str:
    """The error in a word fit for a public answer: no host, no address, no body."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__
