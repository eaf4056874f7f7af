from django.db import models


class Comment(models.Model):
    page_id = models.IntegerField()
    text = models.TextField()
