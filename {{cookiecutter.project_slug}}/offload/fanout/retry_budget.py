"""The retry budget of an upstream: it keeps retries from multiplying an outage."""

from .window import Window

# Seconds over which calls and retries are counted (Finagle's RetryBudget: 10).
BUDGET_WINDOW_SECONDS = 10.0


class RetryBudget:
    """Bounds the extra requests of the last ten seconds: retries and hedged requests.

    Args:
        ratio: extra requests allowed for each call; 0.2 is one for five calls.
        min_per_second: extra requests allowed each second, however few calls there are.
    """

    def __init__(self, ratio: float, min_per_second: float) -> None:
        self._ratio = ratio
        self._floor = min_per_second * BUDGET_WINDOW_SECONDS
        # Total: calls. Marked: extra requests.
        self._counts = Window(BUDGET_WINDOW_SECONDS)

    def deposit(self) -> None:
        """Count a call. Every call adds to the budget, whether it is retried or not."""
        self._counts.add(total=1)

    def withdraw(self) -> bool:
        """Take one extra request from the budget; `False` if it is used up."""
        calls, extra = self._counts.sums()
        if extra + 1 > self._ratio * calls + self._floor:
            return False
        self._counts.add(marked=1)
        return True
