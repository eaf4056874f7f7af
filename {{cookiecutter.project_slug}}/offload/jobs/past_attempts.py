"""The attempts of a job that did not end it, in its row, for the people who run the service.

Whoever queues a job again adds the attempt in the same UPDATE: it costs no statement, and a job
that succeeds at once writes nothing.
"""

from datetime import datetime
from typing import Any

from offload.jobs.models import Job

# Attempts that a row keeps, the last ones.
MAX_PAST_ATTEMPTS = 20
# Characters of a reason. The owner sees the whole sentence in `error`, until the next attempt.
MAX_REASON_LENGTH = 300


def with_attempt(job: Job, reason: str) -> list[dict[str, Any]]:
    """The column `past_attempts` with the attempt that this row has come to.

    Args:
        job: the row as its holder read it.
        reason: why the attempt did not end the job, or was not the last one after all.
    """
    attempt = {
        "number": job.attempts,
        "due_at": _text(job.was_due_at),
        "claimed_at": _text(job.claimed_at),
        "worker": str(job.worker) if job.worker else None,
        "reason": reason[:MAX_REASON_LENGTH],
    }
    return [*(job.past_attempts or []), attempt][-MAX_PAST_ATTEMPTS:]


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
