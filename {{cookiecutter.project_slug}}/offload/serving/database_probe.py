"""Asks the database once a second whether it answers, for the readiness of a web process."""

import contextlib
import threading
import time

from django.db import Error, connection

from offload.observe import Gauge
from offload.observe.live_gauges import show_gauge

# Seconds between two questions.
PROBE_INTERVAL_SECONDS = 1.0
# Seconds that `stop` waits for a question that hangs.
STOP_TIMEOUT_SECONDS = 2.0

AGE = Gauge(
    "offload_database_age_seconds",
    "Time since the database last answered a web process. Of several processes the longest.",
    multiprocess_mode="livemax",
)


class DatabaseProbe(threading.Thread):
    """A thread with a connection of its own, and the time of the database's last answer.

    A frozen database keeps the thread in its question, without an error and without end. The time
    of the last answer tells it all the same, and a probe over HTTP waits for nobody.
    """

    def __init__(self) -> None:
        super().__init__(name="offload-database-probe", daemon=True)
        self._answered_at = float("-inf")
        self._stopping = threading.Event()
        show_gauge(AGE, self.age)

    def age(self) -> float:
        """Seconds since the database last answered; infinite if it never did."""
        return time.monotonic() - self._answered_at

    def run(self) -> None:
        """Ask until `stop`."""
        while not self._stopping.is_set():
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                self._answered_at = time.monotonic()
            except Error:
                # The maintenance of the jobs logs the begin of an outage, once.
                with contextlib.suppress(Error):
                    connection.close()
            self._stopping.wait(PROBE_INTERVAL_SECONDS)
        connection.close()

    def stop(self) -> None:
        """End the thread, and wait for it a little."""
        self._stopping.set()
        self.join(STOP_TIMEOUT_SECONDS)
