from django.core.cache import cache
from django.db import models


class Vpn(models.Model):
    organization_id = models.IntegerField()
    name = models.CharField(max_length=64)

    def invalidate(self) -> None:
        cache.delete(f"vpn-{self.pk}")

    def save(self, *args, **kwargs):
        from .tasks import invalidate_related

        super().save(*args, **kwargs)
        invalidate_related.delay_on_commit(
            "vpn", "organization_id", self.organization_id, "invalidate"
        )
