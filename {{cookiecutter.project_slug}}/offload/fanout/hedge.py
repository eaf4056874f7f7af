"""A hedged request: when an answer takes unusually long, ask a second time and take whichever comes
first.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

from .window import Window

T = TypeVar("T")


@dataclass(kw_only=True)
class Hedge:
    """For reads of an upstream whose slow answers are chance, not load ("The Tail at Scale", Dean
    and Barroso 2013).
    """

    # Of the latest answers' times; a call that takes longer is hedged.
    quantile: float = 0.95
    # Hedged requests may add this share to the load.
    extra: float = 0.05
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=200), init=False, repr=False)
    _after: float | None = field(default=None, init=False, repr=False)
    _count: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._sent = Window(60.0)

    async def race(
        self,
        send: Callable[[], Coroutine[Any, Any, T]],
        spare: Callable[[], Coroutine[Any, Any, T] | None],
    ) -> T:
        """The first good answer of one request, or of two; the loser is cancelled.

        Args:
            send: sends the request.
            spare: sends it a second time, or is None if there is no room for that now.
        """
        self._sent.add(total=1)
        started = monotonic()
        racing = {asyncio.ensure_future(send())}
        try:
            done, racing = await asyncio.wait(racing, timeout=self._after)
            if not done and self._affordable() and (second := spare()):
                self._sent.add(marked=1)
                racing.add(asyncio.ensure_future(second))
            while racing and not _good(done):
                done, racing = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
            answer = (_good(done) or list(done))[0].result()
        finally:
            for task in racing:
                task.cancel()
            if racing:
                await asyncio.wait(racing)
        self._learn(monotonic() - started)
        return answer

    def _affordable(self) -> bool:
        calls, hedged = self._sent.sums()
        return hedged + 1 <= self.extra * calls

    def _learn(self, seconds: float) -> None:
        self._times.append(seconds)
        self._count += 1
        # Sorting 200 numbers costs 10 us: not with every answer.
        if self._count % 20 == 0:
            self._after = sorted(self._times)[int(self.quantile * len(self._times))]


def _good(done: Iterable[asyncio.Future[T]]) -> list[asyncio.Future[T]]:
    return [future for future in done if future.exception() is None]
