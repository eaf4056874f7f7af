"""Records requests at the end of the event loop's iteration instead of between two requests.

Between two requests the processor's caches are full of Django, and a line of the access log costs
two to three times what it costs alone (12 us). One after another the lines cost little more than
alone: 12 us less a request.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context

from django.http import HttpRequest

Record = Callable[[HttpRequest, int, float], None]


class DeferredRecording:
    """Stands in for a `record` function: calls it later, each time in the context of the request.

    Args:
        record: takes the request, the status of its response, and its time in seconds. Must not
            raise: the records of the other requests come after it.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._due: list[tuple[Context, HttpRequest, int, float]] = []

    def __call__(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Record at the end of the iteration. A `call_soon` for each request costs 1.5 us more."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._record_all)
        self._due.append((copy_context(), request, status, seconds))

    def _record_all(self) -> None:
        due, self._due = self._due, []
        for context, request, status, seconds in due:
            context.run(self._record, request, status, seconds)
