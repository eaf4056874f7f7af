from django.conf import settings
from django.db import models


class Event(models.Model):
    slug = models.SlugField(unique=True)
    team = models.ManyToManyField(settings.AUTH_USER_MODEL)


class Question(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="questions")
    text = models.CharField(max_length=800)
    position = models.IntegerField(default=0)


class Submission(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="submissions")
    code = models.CharField(max_length=16)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=20)


class Answer(models.Model):
    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="answers")
    question = models.ForeignKey(Question, on_delete=models.CASCADE)
    text = models.TextField()


class CachedFile(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE)
    file = models.FileField(upload_to="exports/", null=True)
    ready = models.BooleanField(default=False)
