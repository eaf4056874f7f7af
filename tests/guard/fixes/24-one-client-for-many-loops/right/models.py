from django.db import models


class Notice(models.Model):
    reference = models.CharField(max_length=50)
    body = models.JSONField(null=True)
