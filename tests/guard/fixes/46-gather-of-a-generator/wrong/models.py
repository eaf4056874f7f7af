from django.db import models


class Node(models.Model):
    hostname = models.CharField(max_length=250, unique=True)
