from django.db.models.signals import post_delete
from django.dispatch import receiver

from .models import Photo


@receiver(post_delete, sender=Photo)
def photo_deleted(sender, instance, **kwargs):
    instance.file.storage.delete(instance.thumbnail_name)
