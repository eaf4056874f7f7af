"""Two counts over the last seconds: calls and failures for the breaker, calls and retries for the
budget.
"""

from collections import deque
from time import monotonic

# Old counts leave in tenths of the window.
STEPS = 10


class Window:
    """Counts of what happened in the last `seconds`: all of it, and the part that was marked."""

    def __init__(self, seconds: float) -> None:
        self._step = seconds / STEPS
        # [step number, total, marked].
        self._slots: deque[list[int]] = deque(maxlen=STEPS)

    def add(self, total: int = 0, marked: int = 0) -> None:
        """Count something that happens now."""
        now = int(monotonic() / self._step)
        if not self._slots or self._slots[-1][0] != now:
            self._slots.append([now, 0, 0])
        slot = self._slots[-1]
        slot[1] += total
        slot[2] += marked

    def sums(self) -> tuple[int, int]:
        """The counts (total, marked) of the window that ends now."""
        oldest = int(monotonic() / self._step) - STEPS
        total = marked = 0
        for number, a, b in self._slots:
            if number > oldest:
                total, marked = total + a, marked + b
        return total, marked
