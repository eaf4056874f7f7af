"""The tables of the next version: a column more, and a table more."""

from django.db import models


class Order(models.Model):
    """An order, which a job has billed."""

    name = models.CharField(max_length=100, unique=True)
    # The old version writes rows without it.
    currency = models.CharField(max_length=3, db_default="EUR")

    def __str__(self) -> str:
        return self.name


class Reminder(models.Model):
    """A reminder of an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return str(self.order)
