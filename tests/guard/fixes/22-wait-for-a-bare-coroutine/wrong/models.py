from django.db import models


class Artifact(models.Model):
    sha256 = models.CharField(max_length=64, unique=True)
    path = models.TextField()
