from django.db import models


class Conversation(models.Model):
    title = models.CharField(max_length=200)
    collection_id = models.CharField(max_length=64)
