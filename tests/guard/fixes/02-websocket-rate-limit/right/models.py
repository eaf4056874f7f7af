from django.conf import settings
from django.db import models


class UsageRecord(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    bucket = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
