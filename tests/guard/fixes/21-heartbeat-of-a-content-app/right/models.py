from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone


class AppStatus(models.Model):
    name = models.TextField(unique=True)
    last_heartbeat = models.DateTimeField(auto_now=True)

    @property
    def online(self) -> bool:
        return timezone.now() - self.last_heartbeat < timedelta(seconds=settings.CONTENT_APP_TTL)

    def save_heartbeat(self):
        self.save(update_fields=["last_heartbeat"])
