from django.db import models


class SegmentConfiguration(models.Model):
    environment_id = models.IntegerField(unique=True)
    api_key = models.CharField(max_length=100)


class Identity(models.Model):
    environment_id = models.IntegerField()
    identifier = models.CharField(max_length=2000)
    traits = models.JSONField(default=dict)
