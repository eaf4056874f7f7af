"""Writes of a job wait until the database answers, however long it is away."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from django.db import connections

from offload.jobs.database import CONNECTION_ERRORS
from offload.jobs.worker.left_behind import end_without_descriptors
from offload.postgresql.conflicts import why_refused

logger = logging.getLogger("offload.jobs")

T = TypeVar("T")

# Seconds between the tries of a write: the first wait, and the longest.
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
# Seconds between two log lines about one outage.
OUTAGE_LOG_INTERVAL_SECONDS = 60.0


def retry_while_database_is_down(
    write: Callable[[], T | None], written: Callable[[], T | None]
) -> T | None:
    """Call `write` until the database answers, however long that takes.

    What is to be written waits in this process's memory, and after a second in the spool, too
    (`kept_end.py`). The wait ends with the outage, or with the process: the worker's main process
    kills it at shutdown.

    Args:
        write: one fenced transition.
        written: its row, where an earlier try was committed and only the answer was lost; None
            where it was not. Read before every try but the first.

    Returns:
        What `write` returned, or the row that `written` found.

    Raises:
        DatabaseError: the database refuses the statement itself. A further try would not help.
    """
    waits, tries, logged_at = _waits(), 0, 0.0
    while True:
        try:
            found = written() if tries else None
            return found if found is not None else write()
        except CONNECTION_ERRORS as error:
            tries += 1
            end_without_descriptors()
            if not logged_at or time.monotonic() - logged_at > OUTAGE_LOG_INTERVAL_SECONDS:
                logged_at = time.monotonic()
                logger.warning(
                    "%s (try %s); this process keeps what it has to write and tries until the "
                    "database takes it: %s",
                    why_refused(error),
                    tries,
                    error,
                )
            _close_connections()
            time.sleep(next(waits))


def _waits() -> Iterator[float]:
    wait = FIRST_RETRY_SECONDS
    while True:
        yield wait
        wait = min(wait * 2, LONGEST_RETRY_SECONDS)


def _close_connections() -> None:
    try:
        connections.close_all()
    except CONNECTION_ERRORS:
        logger.debug("closing a broken connection failed", exc_info=True)
