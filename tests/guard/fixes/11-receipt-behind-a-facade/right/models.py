from django.db import models


class StartReceipt(models.Model):
    job_uuid = models.UUIDField(unique=True)
    worker = models.CharField(max_length=64)
    timestamp = models.DateTimeField()


class Job(models.Model):
    class Status(models.TextChoices):
        PENDING = "pending"
        EXCUSED = "excused"
        FAILED = "failed"

    uuid = models.UUIDField(unique=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    comment = models.TextField(blank=True)
