from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from .models import Photo
from .tasks import make_thumbnail


@receiver(post_save, sender=Photo)
def photo_saved(sender, instance, created, **kwargs):
    if created:
        transaction.on_commit(lambda: make_thumbnail.delay(instance.pk))


@receiver(post_delete, sender=Photo)
def photo_deleted(sender, instance, **kwargs):
    instance.file.storage.delete(instance.thumbnail_name)
