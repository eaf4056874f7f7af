"""Pauses queues and job types, and resumes them.

`row_states.due` leaves out the jobs of a pause: workers claim none of them, and none of them is
published. They wait in their rows. Submits go on, up to the queue's depth.
"""

import logging

from celery import current_app
from django.db import transaction

from offload.jobs.declare import all_job_types
from offload.jobs.models import Pause

logger = logging.getLogger("offload.jobs")


def fault_of_target(queue: str, kind: str) -> str | None:
    """Why these do not name one thing that can be paused; None where they do."""
    if bool(queue) == bool(kind):
        return "name a queue or a job type, and not both"

    queues = list(current_app.amqp.queues)
    if queue and queue not in queues:
        return f"no queue {queue!r}: config/celery.py declares {', '.join(queues)}"

    kinds = sorted(job_type.name for job_type in all_job_types())
    if kind and kind not in kinds:
        return f"no job type {kind!r}: known are {', '.join(kinds)}"
    return None


def pause(*, queue: str = "", kind: str = "", by: str, reason: str = "") -> Pause:
    """Begin no job of a queue, or of a job type, any more. A second pause changes nothing.

    Args:
        by: who pauses it.

    Raises:
        ValueError: they do not name one thing that can be paused.
    """
    if fault := fault_of_target(queue, kind):
        raise ValueError(fault)

    values = {"paused_by": by, "reason": reason}
    paused, created = Pause.objects.get_or_create(queue=queue, kind=kind, defaults=values)
    if created:
        log_pause(paused)
    return paused


def resume(*, queue: str = "", kind: str = "", by: str) -> bool:
    """Begin the jobs of a paused queue or job type again. False where it was not paused."""
    with transaction.atomic():
        paused = Pause.objects.select_for_update().filter(queue=queue, kind=kind).first()
        if paused is not None:
            paused.delete()
    if paused is None:
        return False
    log_resume(paused, by)
    return True


def log_pause(paused: Pause) -> None:
    """Log the begin of a pause."""
    logger.warning(
        "%s is paused by %s, its jobs wait: %s",
        paused,
        paused.paused_by,
        paused.reason or "no reason given",
    )


def log_resume(paused: Pause, by: str) -> None:
    """Log the end of a pause."""
    logger.warning("%s is resumed by %s; it was paused at %s", paused, by, paused.paused_at)
