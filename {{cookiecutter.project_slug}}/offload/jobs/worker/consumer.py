"""Celery's consumer, which tries a lost broker again every second."""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

# Seconds between two tries. kombu's waits grow by 2 s up to 30 s: after an outage of 75 s the first
# job began 17 s after the broker's return.
BROKER_RETRY_SECONDS = 1.0


class SteadyConsumer(Consumer):
    """`__main__.py` names it in Celery's setting `worker_consumer`."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long the broker is away."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=BROKER_RETRY_SECONDS,
            interval_step=0,
            interval_max=BROKER_RETRY_SECONDS,
        )
        return super().ensure_connected(conn)
