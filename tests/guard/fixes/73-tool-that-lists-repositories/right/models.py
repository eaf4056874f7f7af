from django.db import models


class Job(models.Model):
    repo_id = models.CharField(max_length=200)
    prompt = models.TextField()
    status = models.CharField(max_length=20, default="queued")
