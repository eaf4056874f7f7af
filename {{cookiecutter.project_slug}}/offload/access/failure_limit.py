"""Counts failures by client address, so that nobody guesses without end."""

import threading
import time
from dataclasses import dataclass

from offload.access.client_address import address_group

# Addresses that are remembered. Beyond them the one whose window began first is forgotten.
MAX_ADDRESSES = 10_000


@dataclass(slots=True)
class FailureCount:
    """The failures of one address since `began` (`time.monotonic`)."""

    began: float
    failures: int = 0


class FailureLimit:
    """Refuses an address after too many failures, until its window is over.

    The counts are those of this process: with several web processes an address has as many times
    the tries.

    Args:
        max_failures: how many failures are allowed in a window.
        window: in seconds, from the first failure.
    """

    def __init__(self, max_failures: int, window: float) -> None:
        self.max_failures = max_failures
        self.window = window
        # The event loop and request threads use it.
        self._lock = threading.Lock()
        # In the order of their begin.
        self._windows: dict[str, FailureCount] = {}

    def retry_after(self, address: str) -> int:
        """Seconds until the address may try again; 0 if it may now."""
        found = self._windows.get(address_group(address)) if self._windows else None
        if found is None or found.failures < self.max_failures:
            return 0
        left = found.began + self.window - time.monotonic()
        return max(int(left) + 1, 0) if left > 0 else 0

    def add_failure(self, address: str) -> bool:
        """Count a failure; whether it is the one that reaches the limit."""
        group, now = address_group(address), time.monotonic()
        with self._lock:
            found = self._windows.get(group)
            if found is None or found.began + self.window <= now:
                # At the end, where the newest are.
                self._windows.pop(group, None)
                found = self._windows[group] = FailureCount(began=now)
                if len(self._windows) > MAX_ADDRESSES:
                    del self._windows[next(iter(self._windows))]
            found.failures += 1
            return found.failures == self.max_failures
