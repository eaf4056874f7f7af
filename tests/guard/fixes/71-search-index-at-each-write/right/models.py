from django.contrib.contenttypes.models import ContentType
from django.db import models


class Device(models.Model):
    name = models.CharField(max_length=64)
    serial = models.CharField(max_length=50, blank=True)
    comments = models.TextField(blank=True)


class CachedValue(models.Model):
    kind = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    field = models.CharField(max_length=200)
    weight = models.PositiveSmallIntegerField(default=1000)
    value = models.TextField()
