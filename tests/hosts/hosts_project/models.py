"""A table that changes with the next version: `next_version/models.py` takes this file's place."""

from django.db import models


class Order(models.Model):
    """An order, which a job has billed."""

    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name
