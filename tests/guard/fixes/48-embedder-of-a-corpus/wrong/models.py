from django.db import models


class Corpus(models.Model):
    title = models.CharField(max_length=200)
    preferred_embedder = models.CharField(max_length=200, blank=True)


class Document(models.Model):
    title = models.CharField(max_length=200)
