"""A circuit breaker over a sliding window: an upstream that mostly fails is left alone until it
recovers.
"""

from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from .errors import BreakerOpen
from .window import Window

State = Literal["closed", "open", "half-open"]


@dataclass(kw_only=True)
class Breaker:
    """Opens when too many of the last attempts failed or were slow; probes then decide whether it
    closes.

    What counts is what the upstream did: a failed connection, a 5xx, a timeout, an answer slower
    than `slow_after`. A caller that leaves counts as nothing, or ten closed browser tabs would cut
    an upstream off.
    """

    # Seconds looked back on.
    window: float = 30.0
    # Attempts in the window before it may open: two failures of three say nothing.
    least: int = 20
    # Of failed and slow attempts at which it opens.
    share: float = 0.5
    # Seconds open before the first probe.
    pause: float = 5.0
    # Attempts let through when half open; all must do well.
    probes: int = 3
    # Seconds; None is 0.8 of the upstream's attempt timeout.
    slow_after: float | None = None
    state: State = field(default="closed", init=False)
    _reopen: float = field(default=0.0, init=False, repr=False)
    _probing: int = field(default=0, init=False, repr=False)
    _healthy: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._seen = Window(self.window)

    def admit(self) -> float:
        """Let an attempt pass and hand out its ticket, to be given back by one `record`; raises
        `BreakerOpen`.
        """
        if self.state == "open" and monotonic() >= self._reopen:
            self.state, self._probing, self._healthy = "half-open", 0, 0
        if self.state == "open" or (self.state == "half-open" and self._probing >= self.probes):
            raise BreakerOpen(
                "Too many of the last calls failed; waiting for the upstream to recover."
            )
        self._probing += 1
        return self._reopen

    def record(self, ticket: float, good: bool | None) -> None:
        """How an admitted attempt went; None where it says nothing about the upstream."""
        if ticket != self._reopen:
            # Admitted before the breaker last opened: old news.
            return
        if self.state == "closed":
            self._count(good)
        elif good is None:
            # Its place is free for another probe.
            self._probing -= 1
        elif good:
            self._healthy += 1
            if self._healthy >= self.probes:
                self.state, self._seen = "closed", Window(self.window)
        else:
            self._open()

    def _count(self, good: bool | None) -> None:
        if good is not None:
            self._seen.add(total=1, marked=not good)
        if good is False:
            total, bad = self._seen.sums()
            if total >= self.least and bad >= self.share * total:
                self._open()

    def _open(self) -> None:
        self.state, self._reopen = "open", monotonic() + self.pause
