from django.db import models


class Artifact(models.Model):
    file = models.FileField(upload_to="artifacts/")


class Manifest(models.Model):
    digest = models.CharField(max_length=80)
    artifacts = models.ManyToManyField(Artifact)


class Blob(models.Model):
    manifest = models.ForeignKey(Manifest, on_delete=models.CASCADE, related_name="blobs")
    digest = models.CharField(max_length=80)
