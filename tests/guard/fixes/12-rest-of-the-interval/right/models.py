from django.db import models


class Peer(models.Model):
    url = models.URLField(unique=True)


class Receipt(models.Model):
    key = models.CharField(max_length=64, unique=True)
    body = models.JSONField()
