from django.conf import settings
from django.db import models


class Upload(models.Model):
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    court_id = models.CharField(max_length=15)
    sha1 = models.CharField(max_length=40)
    status = models.CharField(max_length=20, default="queued")
