"""Celery's consumer, which tries a lost broker again every second and says so once a minute."""

import time
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

# Seconds between two tries. kombu's waits grow by 2 s up to 30 s: after an outage of 75 s the first
# job began 17 s after the broker's return.
BROKER_RETRY_SECONDS = 1.0
# Seconds between two log lines about one outage of the broker.
BROKER_LOG_INTERVAL_SECONDS = 60.0


class SteadyConsumer(Consumer):
    """`__main__.py` names it in Celery's setting `worker_consumer`."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long the broker is away."""
        connect = conn.ensure_connection

        def connect_steadily(log_error: Callable[..., None], *args: Any, **options: Any) -> Any:
            return connect(
                _once_a_minute(log_error),
                *args,
                interval_start=BROKER_RETRY_SECONDS,
                interval_step=0,
                interval_max=BROKER_RETRY_SECONDS,
                **options,
            )

        conn.ensure_connection = connect_steadily
        return super().ensure_connected(conn)


def _once_a_minute(log_error: Callable[..., None]) -> Callable[..., None]:
    next_line = 0.0

    def log_sometimes(*args: Any) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + BROKER_LOG_INTERVAL_SECONDS
            log_error(*args)

    return log_sometimes
