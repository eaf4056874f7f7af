from django.db import models


class AuditEvent(models.Model):
    kind = models.CharField(max_length=10)
    model = models.CharField(max_length=100)
    object_id = models.CharField(max_length=64)
    user_id = models.BigIntegerField(null=True)
    made_at = models.DateTimeField(auto_now_add=True)
