from django.db import models


class Checkout(models.Model):
    total = models.IntegerField(default=0)
    completed = models.BooleanField(default=False)


class Order(models.Model):
    checkout_id = models.IntegerField()
    total = models.IntegerField()
    tax = models.IntegerField()
    status = models.CharField(max_length=20)


class Webhook(models.Model):
    event = models.CharField(max_length=50)
    target_url = models.URLField()
    active = models.BooleanField(default=True)
