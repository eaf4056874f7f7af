from django.conf import settings
from django.db import models


class Team(models.Model):
    members = models.ManyToManyField(settings.AUTH_USER_MODEL)


class Document(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    text = models.TextField()
