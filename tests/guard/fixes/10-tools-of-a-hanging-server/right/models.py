from django.db import models


class ToolServer(models.Model):
    name = models.SlugField(unique=True)
    url = models.URLField()
    enabled = models.BooleanField(default=True)
