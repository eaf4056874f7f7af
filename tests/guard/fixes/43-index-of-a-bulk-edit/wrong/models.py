from django.db import models


class Label(models.Model):
    name = models.CharField(max_length=100)


class Document(models.Model):
    title = models.CharField(max_length=200)
    correspondent = models.CharField(max_length=200, blank=True)
    labels = models.ManyToManyField(Label)
    indexed_text = models.TextField(blank=True)
