from django.db import models


class TutorTurn(models.Model):
    thread_id = models.CharField(max_length=64)
    history = models.TextField()
    intents = models.JSONField(default=list)
