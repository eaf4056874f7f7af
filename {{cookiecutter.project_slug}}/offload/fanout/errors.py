"""Errors: how an upstream call can fail, besides httpx's own exceptions."""

import errno
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal

from .http import httpx

OutcomeStatus = Literal["ok", "stale", "timeout", "open", "rejected", "error"]


class UpstreamError(Exception):
    """A call failed for a reason that httpx has no exception for."""

    # The status of an outcome with this error.
    status: ClassVar[OutcomeStatus] = "error"


class DeadlineExceeded(UpstreamError):
    """The time that was given to this call is over."""

    status = "timeout"


class BreakerOpen(UpstreamError):
    """The circuit breaker is open: too many of the last attempts failed, and nothing was sent.

    Args:
        message: what happened.
        retry_after: seconds until the next attempt may pass.
    """

    status = "open"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(UpstreamError):
    """The bulkhead is full: as many calls as allowed are in flight, and as many wait."""

    status = "rejected"
    # Seconds: a slot is free when one of the calls in flight ends.
    retry_after: ClassVar[float] = 1.0


class AuthFailed(UpstreamError):
    """There is no access token for this call, so that nothing was sent. Its cause says why."""


class TooLarge(UpstreamError):
    """The decoded body is larger than `max_bytes`. The connection was closed."""


class Undecodable(UpstreamError):
    """The status was 2xx, but the body could not be read as the call asked."""


# Everything that a call can fail with. Another exception is a mistake in code, and is raised.
FAILURES = (UpstreamError, httpx.HTTPError)
# What this process or its host has too little of: open files, memory, threads (EAGAIN).
EXHAUSTED_ERRNOS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}
)


def status_of(error: Exception) -> OutcomeStatus:
    """The status of an outcome with this error."""
    if isinstance(error, UpstreamError):
        return error.status
    return "timeout" if isinstance(error, httpx.TimeoutException) else "error"


def is_source_fault(error: Exception) -> bool:
    """Whether the source failed to answer, or could not. What it refused for good is no fault."""
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status >= 500 or status in (408, 429)
    if isinstance(error, AuthFailed):
        return isinstance(error.__cause__, Exception) and is_source_fault(error.__cause__)
    return isinstance(error, httpx.TransportError | DeadlineExceeded | BreakerOpen | Overloaded)


def is_out_of_resources(error: Exception) -> bool:
    """Whether nothing was sent because this process had no file, memory or thread left for it."""
    # Our transport raises httpx's exceptions from aiohttp's, which have the system's number.
    return isinstance(error, httpx.ConnectError) and (
        getattr(error.__cause__, "errno", None) in EXHAUSTED_ERRNOS
    )


def without_frames(error: Exception) -> Exception:
    """The failure of a call without its tracebacks, and those of what led to it.

    An outcome and a task keep the error, the traceback its frames, and these the outcome and the
    task: a circle, in which a part of a large body would wait for the garbage collector.
    """
    stripped: list[BaseException] = []
    found: BaseException | None = error
    # An error that several callers share may lead to one that it has caused.
    while found is not None and found not in stripped:
        found.__traceback__ = None
        stripped.append(found)
        found = found.__cause__ or found.__context__
    return error


def reason(error: Exception) -> str:
    """The error in a word that may be shown in public: no host, no address, no body."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__


def retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to wait, by number or date (RFC 9110, section 10.2.3).

    0 if it asks nothing that can be read.
    """
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
