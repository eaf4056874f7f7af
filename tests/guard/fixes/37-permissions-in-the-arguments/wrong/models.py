from django.db import models


class Card(models.Model):
    name = models.CharField(max_length=48)


class Player(models.Model):
    discord_id = models.BigIntegerField(unique=True)
