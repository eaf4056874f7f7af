from django.db import models


class Embed(models.Model):
    url = models.TextField()
    max_width = models.SmallIntegerField(null=True)
    title = models.TextField(blank=True)
    html = models.TextField(blank=True)
