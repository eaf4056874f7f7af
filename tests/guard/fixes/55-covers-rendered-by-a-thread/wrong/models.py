from django.db import models


class Comic(models.Model):
    name = models.CharField(max_length=200)
    cover_path = models.TextField()
