from django.conf import settings
from django.db import models


class Membership(models.Model):
    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    active = models.BooleanField(default=False)


class ChatModel(models.Model):
    name = models.CharField(max_length=200)
    max_tokens = models.IntegerField(default=8000)
    max_tokens_for_members = models.IntegerField(null=True)
