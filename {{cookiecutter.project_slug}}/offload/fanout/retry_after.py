"""Retry-After: the header by which a server says when to ask again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .http import httpx

# What is passed on to our own callers is a day at most.
MAX_PASSED_ON_SECONDS = 86400.0


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
