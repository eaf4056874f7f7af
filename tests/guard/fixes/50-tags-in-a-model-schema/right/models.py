from django.conf import settings
from django.db import models


class Tag(models.Model):
    text = models.CharField(max_length=32, unique=True)


class Doc(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    title = models.CharField(max_length=512)
    content = models.TextField()
    tags = models.ManyToManyField(Tag)
