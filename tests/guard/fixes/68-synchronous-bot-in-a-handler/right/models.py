from django.db import models


class Member(models.Model):
    full_name = models.CharField(max_length=128)
    telegram_id = models.BigIntegerField(null=True)


class Post(models.Model):
    author = models.ForeignKey(Member, on_delete=models.CASCADE)
    title = models.TextField()
    approved = models.BooleanField(default=False)
