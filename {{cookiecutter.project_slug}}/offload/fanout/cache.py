"""Cache: keeps responses, to use them in place of a call, or in place of a failed one."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from math import inf
from time import monotonic

from .raw_response import RawResponse


@dataclass(frozen=True, kw_only=True)
class Cache:
    """How long a response is kept in the memory of this process; times are in seconds.

    Only responses of reads are kept, and none that says `Cache-Control: no-store`. A write through
    the same upstream, be it successful or not, forgets them all (RFC 9111, section 4.4).
    """

    # While a response is younger, it stands in for a call.
    fresh_for: float = 0.0
    # While it is younger, it stands in for a call that failed by a fault of the source: a timeout,
    # no connection, an open breaker, a full bulkhead, or a status of 408, 429 or 5xx (RFC 5861).
    stale_for: float = 300.0
    # Responses kept; the least recently used one is dropped first.
    max_entries: int = 256
    # Bytes of the kept bodies and headers together: 256 bodies of the largest size would be 256 MB.
    max_bytes: int = 16 * 2**20


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A kept response and its age in seconds."""

    response: RawResponse
    age: float


class ResponseCache:
    """The kept responses of one upstream, by the key of their request."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        # For each key: the response, and the instant at which it was stored.
        self._entries: OrderedDict[Hashable, tuple[RawResponse, float]] = OrderedDict()
        self._bytes = 0
        # The instant of the last `forget_all`.
        self._forgotten_at = -inf

    def store(self, key: Hashable, response: RawResponse, called_at: float) -> None:
        """Keep a response, unless it forbids that, or may be older than the last `forget_all`.

        Args:
            key: of the request.
            response: what came.
            called_at: when the call began, an instant of `time.monotonic()`.
        """
        if called_at <= self._forgotten_at:
            return
        if any(
            name.lower() == b"cache-control" and b"no-store" in value.lower()
            for name, value in response.headers
        ):
            return

        self.forget(key)
        size = _size(response)
        if size > self._cache.max_bytes:
            return

        self._entries[key] = response, monotonic()
        self._bytes += size
        while len(self._entries) > self._cache.max_entries or self._bytes > self._cache.max_bytes:
            self.forget(next(iter(self._entries)))

    def forget(self, key: Hashable) -> None:
        """Drop the response with this key, if there is one."""
        if entry := self._entries.pop(key, None):
            self._bytes -= _size(entry[0])

    def forget_all(self) -> None:
        """Drop every response, and keep none of a call that began before now."""
        self._entries.clear()
        self._bytes = 0
        self._forgotten_at = monotonic()

    def fresh(self, key: Hashable) -> CachedResponse | None:
        """The response that can stand in for a call."""
        return self._find(key, self._cache.fresh_for)

    def stale(self, key: Hashable) -> CachedResponse | None:
        """The response that can stand in for a failed call."""
        return self._find(key, self._cache.stale_for)

    def _find(self, key: Hashable, max_age: float) -> CachedResponse | None:
        if key not in self._entries:
            return None

        response, stored_at = self._entries[key]
        self._entries.move_to_end(key)
        age = monotonic() - stored_at
        return CachedResponse(response, age) if age < max_age else None


def _size(response: RawResponse) -> int:
    return len(response.body) + sum(len(name) + len(value) for name, value in response.headers)
