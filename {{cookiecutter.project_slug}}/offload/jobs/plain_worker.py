"""Keeps a worker that Celery alone has started away from the queues of jobs.

It knows no job: Celery would discard their messages. `celery -A config worker` without `-Q` reads
every queue.
"""

import logging
from typing import Any

from celery.signals import celeryd_after_setup

from offload.jobs.declare import all_job_types

logger = logging.getLogger("offload.jobs")


def leave_queues_of_jobs(instance: Any, **_: object) -> None:
    """Take the queues of jobs from a worker before it reads them. Celery calls this at its start.

    Args:
        instance: Celery's worker.

    Raises:
        SystemExit: it has no other queue.
    """
    read = instance.app.amqp.queues
    left = sorted({job_type.limits.queue for job_type in all_job_types()} & set(read.consume_from))
    if not left:
        return

    names = ",".join(left)
    own = f"`python -m offload.jobs -Q {names}`"
    read.deselect(left)
    if not read.consume_from:
        raise SystemExit(
            f"A worker of Celery alone would discard the jobs of its queues ({names}): start {own}."
        )
    logger.warning("this worker does not read %s, which have jobs: %s does", names, own)


def watch_plain_workers() -> None:
    """Look at each worker that this process becomes."""
    celeryd_after_setup.connect(leave_queues_of_jobs)


def is_no_plain_worker() -> None:
    """Look no more: this process is a worker that knows jobs."""
    celeryd_after_setup.disconnect(leave_queues_of_jobs)
