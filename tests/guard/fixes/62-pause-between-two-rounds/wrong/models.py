from django.db import models


class Game(models.Model):
    rounds = models.PositiveSmallIntegerField(default=3)
