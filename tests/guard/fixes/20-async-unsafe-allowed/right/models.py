from django.db import models


class Remote(models.Model):
    headers = models.JSONField(default=dict)
    read_timeout = models.FloatField(default=60.0)


class ContentArtifact(models.Model):
    relative_path = models.TextField(unique=True)


class RemoteArtifact(models.Model):
    content_artifact = models.ForeignKey(ContentArtifact, on_delete=models.CASCADE)
    remote = models.ForeignKey(Remote, on_delete=models.CASCADE)
    url = models.TextField()
    priority = models.IntegerField(default=0)
