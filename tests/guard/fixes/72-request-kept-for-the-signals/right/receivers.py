from django.db.models.signals import post_save
from django.dispatch import receiver

from .middleware import get_current_user
from .models import AuditEvent


@receiver(post_save)
def saved(sender, instance, created, raw=False, **kwargs):
    if raw or sender is AuditEvent or sender._meta.app_label == "sessions":
        return
    user = get_current_user()
    AuditEvent.objects.create(
        kind="create" if created else "update",
        model=sender._meta.label,
        object_id=str(instance.pk),
        user_id=user.pk if user is not None and user.is_authenticated else None,
    )
