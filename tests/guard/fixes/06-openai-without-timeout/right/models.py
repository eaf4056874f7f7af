from django.db import models


class SpeechOption(models.Model):
    model_name = models.CharField(max_length=100, default="whisper-1")
    api_key = models.CharField(max_length=200, blank=True)
    base_url = models.URLField(blank=True)
