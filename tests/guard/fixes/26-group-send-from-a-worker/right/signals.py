from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from .models import Row
from .tasks import broadcast_to_group


@receiver(post_save, sender=Row)
def row_saved(sender, instance, created, **kwargs):
    payload = {"type": "row_created" if created else "row_updated", "id": instance.pk}
    group = f"table-{instance.table_id}"
    transaction.on_commit(lambda: broadcast_to_group.delay(group, payload))
