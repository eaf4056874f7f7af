import asyncio
import logging

from django.utils import timezone

from .models import Job, StartReceipt
from .receipts import receipts

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_SECONDS = 30
EXCUSE_SECONDS = 120


class Refused(Exception):
    def __init__(self, reason: str, message: str = ""):
        self.reason, self.message = reason, message


async def drive(client, job: Job) -> Job:
    await receipts().record(str(job.uuid), client.worker, timezone.now())
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            await client.start(job.uuid)
    except TimeoutError:
        job.status, job.comment = Job.Status.FAILED, "no answer"
    except Refused as refused:
        if refused.reason != "busy":
            job.status, job.comment = Job.Status.FAILED, refused.message
        else:
            receipt = await StartReceipt.objects.aget(job_uuid=str(job.uuid))
            age = (timezone.now() - receipt.timestamp).total_seconds()
            excused = age < EXCUSE_SECONDS
            job.status = Job.Status.EXCUSED if excused else Job.Status.FAILED
            logger.info("%s is busy; excused: %s", client.worker, excused)
    await job.asave(update_fields=["status", "comment"])
    return job
