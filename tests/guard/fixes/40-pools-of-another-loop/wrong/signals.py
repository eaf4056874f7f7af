from django.db.models.signals import post_save
from django.dispatch import receiver

from .models import Comment
from .notify import notify


@receiver(post_save, sender=Comment)
def comment_saved(sender, instance, created, **kwargs):
    if created:
        notify(f"page-{instance.page_id}", instance.text)
