"""The models that the corpus speaks of."""

from django.db import models


class PaidManager(models.Manager["Order"]):
    def get_queryset(self) -> models.QuerySet["Order"]:
        return super().get_queryset().filter(status="paid")


class Customer(models.Model):
    name = models.CharField(max_length=50)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, null=True)
    total = models.IntegerField(default=0)
    status = models.CharField(max_length=10, default="open")
    objects = models.Manager()
    paid = PaidManager()


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
