from django.db import models


class Participant(models.Model):
    name = models.CharField(max_length=200)


class Recording(models.Model):
    url = models.URLField()


class AudioChunk(models.Model):
    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="audio_chunks")
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    blob = models.BinaryField()
    started_ms = models.BigIntegerField()


class Utterance(models.Model):
    recording = models.ForeignKey(Recording, on_delete=models.CASCADE)
    participant = models.ForeignKey(Participant, on_delete=models.CASCADE)
    chunk = models.ForeignKey(AudioChunk, on_delete=models.CASCADE)
    started_ms = models.BigIntegerField()
    text = models.TextField(blank=True)
