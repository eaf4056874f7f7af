from django.conf import settings
from django.db import models


class NodeManager(models.Manager):
    def me(self):
        return self.get(uuid=settings.SYSTEM_UUID)

    def others(self, hostname: str) -> list[str]:
        return list(self.exclude(hostname=hostname).values_list("hostname", flat=True))


class Node(models.Model):
    uuid = models.UUIDField(unique=True)
    hostname = models.CharField(max_length=250, unique=True)

    objects = NodeManager()
