"""What is sent to an upstream: method, URL, headers and body."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from yarl import URL

from offload.serving.methods import SAFE_METHODS

from .upload import Upload

Headers = list[tuple[str, str]]

# The methods that a server may receive twice without a second effect (RFC 9110, section 9.2.2).
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(slots=True)
class UpstreamRequest:
    """One request as the caller described it. It can be sent more than once, and never changes.

    (The dataclass is not frozen: that would add 1 us to every call.)

    Headers and body are left out of the `repr`, because they may hold secrets that must not reach
    a log.
    """

    method: str
    url: URL
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | Upload | None = field(repr=False)
    # Whether the request may be sent again after a failure.
    idempotent: bool

    @property
    def key(self) -> Hashable | None:
        """What the response of a read depends on; `None` for every other request.

        The key holds all headers, and so the caller's identity: a response is never given to a
        caller with other credentials.
        """
        if self.method in ("GET", "HEAD") and self.body is None:
            return self.method, self.url, self.headers
        return None

    @property
    def is_write(self) -> bool:
        """Whether reads may give something else after this request."""
        return self.method not in SAFE_METHODS
