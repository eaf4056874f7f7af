from django.db import models


class Upload(models.Model):
    court_id = models.CharField(max_length=15)
    file = models.FileField(upload_to="uploads/")
    status = models.CharField(max_length=20, default="queued")
    message = models.TextField(blank=True)


class DocketEntry(models.Model):
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE)
    filed = models.CharField(max_length=20)
    number = models.CharField(max_length=10)
    text = models.TextField()
