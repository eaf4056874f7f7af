from django.db import models


class Row(models.Model):
    table_id = models.IntegerField()
    values = models.JSONField(default=dict)
