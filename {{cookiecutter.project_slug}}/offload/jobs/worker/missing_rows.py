"""Says that messages name jobs which the database does not have.

Another environment of the service that uses the same Redis takes half of the messages, and puts
its own into the same lists. No job is lost, since each waits in its row for another message. But
nothing else shows why jobs begin late.
"""

import logging
import time
from uuid import UUID

logger = logging.getLogger("offload.jobs")

# Seconds between two log lines of one process.
MISSING_LOG_INTERVAL_SECONDS = 60.0


class MissingRows:
    """Counts such messages. Each process that computes has its own, from its fork on."""

    def __init__(self) -> None:
        self._next_line = 0.0
        self._unsaid = 0

    def note(self, kind: str, job_id: UUID) -> None:
        """Count one message, and log it if that is due."""
        self._unsaid += 1
        now = time.monotonic()
        if now < self._next_line:
            return
        logger.warning(
            "a message names the job %s of type %r, which is not in this database (%d such "
            "messages since the last such line). Another service or environment seems to use the "
            "same Redis database: they take each other's messages, and jobs begin late. Give each "
            "its own",
            job_id,
            kind,
            self._unsaid,
        )
        self._next_line, self._unsaid = now + MISSING_LOG_INTERVAL_SECONDS, 0
