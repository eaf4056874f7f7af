import asyncio

import httpx
from celery import shared_task

from .container import get_container
from .models import Notice

container = get_container()

RUN_TIMEOUT_SECONDS = 15


async def _take(notice_id: int) -> None:
    notice = await Notice.objects.aget(pk=notice_id)
    gateway = container.offers()
    try:
        async with asyncio.timeout(RUN_TIMEOUT_SECONDS):
            notice.body = await gateway.detail(notice.reference)
    finally:
        await gateway.close()
    await notice.asave(update_fields=["body"])


@shared_task(bind=True, max_retries=3)
def take_notice(self, notice_id: int) -> None:
    try:
        asyncio.run(_take(notice_id))
    except (httpx.TransportError, TimeoutError) as error:
        raise self.retry(exc=error, countdown=2**self.request.retries) from error
