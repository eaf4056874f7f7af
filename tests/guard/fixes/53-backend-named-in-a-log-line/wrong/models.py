from django.conf import settings
from django.db import models


class ModelBackend(models.Model):
    name = models.CharField(max_length=100, unique=True)
    provider = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


class Chat(models.Model):
    name = models.CharField(max_length=200)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    backend = models.ForeignKey(ModelBackend, null=True, on_delete=models.SET_NULL)
    temperature = models.FloatField(default=0)


class ChatMessage(models.Model):
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE)
    text = models.TextField()
    role = models.CharField(max_length=10)
