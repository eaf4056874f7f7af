"""Ended spans on their way to the collector.

Nobody waits for the collector. A span that ends is put into a bounded queue, and a thread of this
process sends what is in it. The thread begins with the first span, so each forked process has one
of its own. OpenTelemetry's own queue does not say how many spans it drops.
"""

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from offload.observe import Counter
from offload.observe.no_fork import NO_FORK

logger = logging.getLogger("offload.traces")

# OpenTelemetry's own default. In full it has some 4 MB.
MAX_QUEUED_SPANS = 2048
# The largest number of spans in one request to the collector; OpenTelemetry's own default.
MAX_BATCH_SPANS = 512
# A request to the collector takes some 10 ms of CPU in a busy process: five a second made the
# smallest request 1.24 times as dear at a sampling of 10 %, one a second makes it 1.13.
SEND_INTERVAL_SECONDS = 1.0
# A process that was forked computes jobs, and is killed at the end of its worker: its spans wait
# less.
SEND_INTERVAL_OF_FORKED_SECONDS = 0.2
# A healthy collector has each span of a forked process after this time. A worker waits so long at
# its end, before it kills the processes that compute.
SENT_AFTER_SECONDS = 0.5
# The end of a process waits for the collector no longer than this.
SPAN_FLUSH_TIMEOUT_SECONDS = 1.0

DROPPED = Counter(
    "offload_trace_spans_dropped_total",
    "Spans that were dropped because the collector of traces was away, or too slow.",
)

# Sends spans, and returns why the collector has not taken them: empty if it has.
SendSpans = Callable[[Sequence[Any]], str]


class SpanQueue:
    """The ended spans of this process, and the thread that sends them.

    Args:
        connect: makes the function that sends. It is called in the thread, once in each process:
            two processes never share a connection.
    """

    def __init__(self, connect: Callable[[], SendSpans]) -> None:
        self._connect = connect
        # Why the collector has not taken the last batch; empty if it has.
        self._fault = ""
        self._begin()
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_again(this()))

    def _begin(self, send_interval: float = SEND_INTERVAL_SECONDS) -> None:
        self._send_interval = send_interval
        self._spans: deque[Any] = deque()
        self._changed = threading.Condition()
        self._flushing = False
        self._thread: threading.Thread | None = None

    def add(self, span: Any) -> None:
        """Have this span sent, or drop it. Never blocks."""
        if len(self._spans) >= MAX_QUEUED_SPANS:
            _count_dropped(1)
            return
        self._spans.append(span)
        if self._thread is None:
            self._start_thread()
        elif len(self._spans) >= MAX_BATCH_SPANS:
            # Also beyond it: two threads may add at the same moment.
            with self._changed:
                self._changed.notify_all()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="offload-spans", daemon=True)
        with self._changed:
            # The system may start no more threads, or the process may be at its end. The next span
            # tries again.
            if self._thread is None:
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        send = self._connect()
        while True:
            with self._changed:
                if not self._spans:
                    self._flushing = False
                    self._changed.notify_all()
                self._changed.wait_for(self._must_send, self._send_interval)
            while self._spans:
                self._send_batch(send)

    def _must_send(self) -> bool:
        """Whether to send before the interval is over."""
        return self._flushing or len(self._spans) >= MAX_BATCH_SPANS

    def _send_batch(self, send: SendSpans) -> None:
        batch = [self._spans.popleft() for _ in range(min(len(self._spans), MAX_BATCH_SPANS))]
        try:
            fault = send(batch)
        except Exception as error:
            # Whatever it is, the thread goes on.
            logger.exception("Spans could not be sent: this is a bug.")
            fault = type(error).__name__

        if fault:
            _count_dropped(len(batch))
        if fault and not self._fault:
            logger.warning(
                "The collector of traces takes no spans (%s): they are dropped and counted until "
                "it does. Nothing else is affected. Check the collector, and "
                "OTEL_EXPORTER_OTLP_... in the environment of this process.",
                fault,
            )
        elif self._fault and not fault:
            logger.info("The collector of traces takes spans again.")
        self._fault = fault

    def flush(self) -> None:
        """Send what there is now. Waits for the collector `SPAN_FLUSH_TIMEOUT_SECONDS` at most."""
        with self._changed:
            if self._thread is None:
                return
            self._flushing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._flushing, SPAN_FLUSH_TIMEOUT_SECONDS)


def _count_dropped(number: int) -> None:
    with NO_FORK:
        DROPPED.inc(number)


def _begin_again(queue: SpanQueue | None) -> None:
    """In a forked process: its parent has the thread, and sends the spans that wait."""
    if queue is not None:
        queue._begin(SEND_INTERVAL_OF_FORKED_SECONDS)  # noqa: SLF001  # of this module
