from django.db import models


class Participant(models.Model):
    identifier = models.CharField(max_length=100)
    platform = models.CharField(max_length=20)


class ParticipantData(models.Model):
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    bot_id = models.IntegerField()
    consented = models.BooleanField(default=True)
