from django.db import models


class Court(models.Model):
    short_name = models.CharField(max_length=100)
    in_use = models.BooleanField(default=True)
