from django.db import models


class Repository(models.Model):
    slug = models.CharField(max_length=200, unique=True)
    members = models.JSONField(default=list)
