from celery import shared_task

from .models import Broadcast


@shared_task(ignore_result=True)
def send_broadcast(broadcast_id: int) -> int:
    """Safe to repeat: a participant who has the message is skipped."""
    broadcast = Broadcast.objects.get(pk=broadcast_id)
    sent = 0
    for delivery in broadcast.deliveries.filter(sent=False).iterator():
        delivery.send()
        sent += 1
    return sent
