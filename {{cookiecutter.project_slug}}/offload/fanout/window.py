"""Two counts over the last seconds, for circuit breaker, retry budget and hedging."""

from collections import deque
from time import monotonic

# A window is divided into this many steps; counts leave it one step at a time.
STEPS = 10


class Window:
    """Counts what happened in the last `seconds`: everything, and the part that was marked."""

    def __init__(self, seconds: float) -> None:
        self._step_seconds = seconds / STEPS
        # For each step: [number of the step, total, marked].
        self._steps: deque[list[int]] = deque(maxlen=STEPS)

    def add(self, total: int = 0, marked: int = 0) -> None:
        """Count something that happens now."""
        now = int(monotonic() / self._step_seconds)
        if not self._steps or self._steps[-1][0] != now:
            self._steps.append([now, 0, 0])

        step = self._steps[-1]
        step[1] += total
        step[2] += marked

    def sums(self) -> tuple[int, int]:
        """The counts (total, marked) of the window that ends now."""
        oldest = int(monotonic() / self._step_seconds) - STEPS
        total = marked = 0
        for number, step_total, step_marked in self._steps:
            if number > oldest:
                total += step_total
                marked += step_marked
        return total, marked
