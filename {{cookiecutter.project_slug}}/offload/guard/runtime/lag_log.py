"""Counts how late the event loop is, and keeps the newest figures."""

from collections import deque
from time import monotonic

from offload.guard.runtime import metrics

# The watchdog has at most 20 figures a second (twice for each `block_threshold` of 0.1 s): this is
# half a minute.
RECENT_LAGS = 600


class LagLog:
    """How late the loop of one process was. The watchdog's thread adds, the event loop reads."""

    def __init__(self) -> None:
        # When the watchdog was answered, by `time.monotonic()`, and after how many seconds.
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_LAGS)

    def add(self, seconds: float) -> None:
        """Keep and count one figure."""
        self._recent.append((monotonic(), seconds))
        metrics.LOOP_LAG_SECONDS.observe(seconds)

    def worst_since(self, moment: float) -> float:
        """The longest lag in seconds since a moment of `time.monotonic()`; 0 if there was none."""
        # A copy, because the watchdog's thread adds meanwhile.
        recent = list(self._recent)
        return max((lag for added, lag in recent if added > moment), default=0.0)
