"""Cache: keeps responses, to use them in place of a call, or in place of a failed one."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from time import monotonic

from .raw_response import RawResponse


@dataclass(frozen=True, kw_only=True)
class Cache:
    """How long a response is kept in the memory of this process; times are in seconds.

    Only responses of reads are kept, and none that says `Cache-Control: no-store`.
    """

    # While a response is younger, it stands in for a call.
    fresh_for: float = 0.0
    # While it is younger, it stands in for a call that failed.
    stale_for: float = 300.0
    # Responses kept; the least recently used one is dropped first.
    max_entries: int = 256


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

    def store(self, key: Hashable, response: RawResponse) -> None:
        """Keep a response, unless it forbids that."""
        if any(
            name.lower() == b"cache-control" and b"no-store" in value
            for name, value in response.headers
        ):
            return

        self._entries[key] = response, monotonic()
        self._entries.move_to_end(key)
        if len(self._entries) > self._cache.max_entries:
            self._entries.popitem(last=False)

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
