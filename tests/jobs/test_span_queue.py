"""The queue of spans has a bound, waits for nobody, and survives a fork."""

import logging
import os
import threading
import time
from collections.abc import Callable
from queue import Queue
from typing import Any

import pytest


def test_a_queue_takes_a_bounded_number_and_waits_for_nobody() -> None:
    from offload.observe import span_queue

    sent: list[Any] = []

    def frozen() -> Callable[[Any], str]:
        def send(batch: Any) -> str:
            sent.extend(batch)
            time.sleep(3600)
            return ""

        return send

    before = span_queue.DROPPED._value.get()
    queue = span_queue.SpanQueue(frozen)
    queue.add(0)
    while not sent:
        time.sleep(0.01)
    for number in range(span_queue.MAX_QUEUED_SPANS + 10):
        queue.add(number)
    began = time.monotonic()
    queue.flush()
    assert time.monotonic() - began < 30
    assert span_queue.DROPPED._value.get() - before == 10


def test_a_full_batch_is_sent_before_its_time() -> None:
    """A second of a busy process has more spans than the queue takes."""
    from offload.observe import span_queue

    sent: Queue[int] = Queue()

    def send(batch: Any) -> Any:
        sent.put(len(batch))

    queue = span_queue.SpanQueue(lambda: send)
    queue._send_interval = 3600.0
    for number in range(span_queue.MAX_BATCH_SPANS):
        queue.add(number)
    assert sent.get(timeout=60) == span_queue.MAX_BATCH_SPANS


def test_a_forked_process_sends_its_own_spans_and_not_its_parents() -> None:
    from offload.observe.span_queue import SpanQueue

    read, write = os.pipe()

    def send(batch: Any) -> str:
        os.write(write, f"{batch}".encode())
        return ""

    queue = SpanQueue(lambda: send)
    queue._start_thread = lambda: None  # type: ignore[method-assign]
    queue.add("the parent's")
    del queue._start_thread
    pid = os.fork()
    if not pid:
        queue.add("the child's")
        queue.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b'["the child\'s"]'


@pytest.mark.parametrize("counted_by", ["span_queue", "logs"])
def test_no_process_is_forked_while_a_thread_counts_what_it_drops(
    monkeypatch: pytest.MonkeyPatch, counted_by: str
) -> None:
    """The child would inherit the lock of the metrics, and wait for it at its first count."""
    from offload import logs
    from offload.observe import span_queue

    lock, at_it = threading.Lock(), threading.Event()

    class Counter:
        def inc(self, number: int = 1) -> None:
            with lock:
                at_it.set()
                time.sleep(0.5)

    monkeypatch.setattr({"span_queue": span_queue, "logs": logs}[counted_by], "DROPPED", Counter())
    if counted_by == "span_queue":
        span_queue.SpanQueue(lambda: lambda batch: "away").add("a span")
    else:
        read, write = os.pipe()
        handler = logs.NonBlockingHandler(write, max_backlog=1)
        line = logging.makeLogRecord({"msg": "x" * 100_000})
        # The pipe is full, then the backlog; the third line is dropped.
        threading.Thread(target=lambda: [handler.emit(line) for _ in range(3)]).start()
    assert at_it.wait(60)
    pid = os.fork()
    if not pid:
        os._exit(lock.locked())
    assert os.waitpid(pid, 0)[1] == 0
    if counted_by == "logs":
        os.close(read)
        handler.close()
        os.close(write)


def test_a_thread_with_the_lock_of_the_database_counts_though_another_one_forks() -> None:
    """A fork takes the lock of the database first. Otherwise each would wait for the other."""
    from offload.jobs.database import FORK_LOCK
    from offload.observe.no_fork import NO_FORK

    at_it = threading.Event()

    def count() -> None:
        with FORK_LOCK:
            at_it.set()
            time.sleep(0.5)
            with NO_FORK:
                pass

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    assert at_it.wait(60)
    if not (pid := os.fork()):
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    counting.join(60)
    assert not counting.is_alive()
