"""Celery's consumer, which tries a lost broker again every second and says so once a minute.

It says once a minute, too, that it drops messages of a job type that this worker does not know.
A broker that answers with an error, or a server in its place that talks nonsense, is a lost broker,
too. Celery's own consumer ends the worker then, since these are no errors of the connection.
"""

import logging
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import redis
from celery.worker.consumer import Consumer

from offload.redis_answers import NONSENSE_ERRORS

logger = logging.getLogger("offload.jobs")

# Seconds between two tries. kombu's waits grow by 2 s up to 30 s: after an outage of 75 s the first
# job began 17 s after the broker's return.
BROKER_RETRY_SECONDS = 1.0
# Seconds between two log lines about one outage of the broker.
BROKER_LOG_INTERVAL_SECONDS = 60.0
# Seconds between two log lines about one job type that this worker does not know.
UNKNOWN_LOG_INTERVAL_SECONDS = 60.0
# Such types that are remembered. Whoever reaches Redis may name any number of them.
MAX_UNKNOWN_KINDS = 100
# What the broker may answer: an error, such as that its memory is full; or nonsense.
ANSWER_ERRORS = (redis.RedisError, *NONSENSE_ERRORS)


class SteadyConsumer(Consumer):
    """`__main__.py` names it in Celery's setting `worker_consumer`."""

    # At these errors Celery connects again. Its own class sets it.
    connection_errors: tuple[type[BaseException], ...]
    # Celery's worker. Its own class sets it.
    controller: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_errors = (*self.connection_errors, *ANSWER_ERRORS)
        # When a failed try is logged again (`time.monotonic()`).
        self._next_line = 0.0
        # The same for a job type that this worker does not know, and the messages dropped since the
        # last line.
        self._unknown: dict[str, tuple[float, int]] = {}
        # At each lost connection Celery warns, in seven lines, of a default of its next version. It
        # is about late acknowledgements, which jobs do not have. Celery's own filters come before
        # this consumer.
        warnings.filterwarnings("ignore", message=r"\s*In Celery 5\.1 we introduced")

    def register_with_event_loop(self, hub: Any) -> None:
        """Called by Celery whenever its loop begins."""
        super().register_with_event_loop(hub)
        hub.on_tick.add(self.controller.main_loop.turned)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long the broker is away."""
        connect = conn.ensure_connection

        def connect_steadily(log_error: Callable[..., None], *args: Any, **options: Any) -> Any:
            return connect(
                partial(self._log_sometimes, log_error),
                *args,
                interval_start=BROKER_RETRY_SECONDS,
                interval_step=0,
                interval_max=BROKER_RETRY_SECONDS,
                **options,
            )

        conn.ensure_connection = connect_steadily
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """The broker refused to begin, other than by refusing the connection. A full one does."""
        self._log_sometimes(super().on_connection_error_before_connected, exc)
        time.sleep(BROKER_RETRY_SECONDS)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The connection was lost, or something else than an answer came."""
        self.controller.main_loop.turned()
        try:
            super().on_connection_error_after_connected(exc)
        except self.connection_errors as error:
            # Celery closes the lost connection, and asks the broker while it does so. It ignores
            # kombu's own errors only; any other one would end the worker.
            logger.warning("closing the lost connection to the broker failed: %r", error)
        if isinstance(exc, ANSWER_ERRORS):
            # The next one comes at once.
            time.sleep(BROKER_RETRY_SECONDS)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A message for a task that this worker does not know.

        Celery logs thirty lines for each, as an error. While two versions run there may be
        thousands, and none of them is a lost job.
        """
        if not _is_of_job(message):
            super().on_unknown_task(body, message, exc)
            return
        self._log_unknown(message.headers["task"])
        message.reject_log_error(logger, self.connection_errors)

    def _log_unknown(self, kind: str) -> None:
        now = time.monotonic()
        if len(self._unknown) >= MAX_UNKNOWN_KINDS:
            self._unknown.clear()
        next_line, dropped = self._unknown.get(kind, (now, 0))
        dropped += 1
        if now >= next_line:
            logger.warning(
                "this worker does not know the job type %r, and drops its messages: %d since the "
                "last such line. The jobs wait in their rows for a worker that knows it",
                kind,
                dropped,
            )
            next_line, dropped = now + UNKNOWN_LOG_INTERVAL_SECONDS, 0
        self._unknown[kind] = next_line, dropped

    def _log_sometimes(self, log: Callable[..., None], *args: Any) -> None:
        """Called after each failed try, which it logs once a minute."""
        self.controller.main_loop.turned()
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + BROKER_LOG_INTERVAL_SECONDS
            log(*args)


def _is_of_job(message: Any) -> bool:
    """Whether a message looks like one of `relay.py`: its one argument is a job's id."""
    try:
        (job_id,), options, _ = message.payload
        return not options and str(UUID(job_id)) == job_id
    # Anybody who reaches Redis has written it, and to decode it may raise whatever it wants.
    except Exception:  # noqa: BLE001
        return False
