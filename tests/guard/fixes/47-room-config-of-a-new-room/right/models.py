from django.db import models
from django.utils import timezone


class Room(models.Model):
    event_id = models.IntegerField()
    name = models.CharField(max_length=200)
    module_config = models.JSONField(default=list)
    sorting_priority = models.IntegerField(default=0)
    deleted = models.BooleanField(default=False)

    def get_current_stream(self):
        now = timezone.now()
        return self.streams.filter(starts__lte=now, ends__gte=now).first()


class Stream(models.Model):
    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="streams")
    url = models.URLField()
    starts = models.DateTimeField()
    ends = models.DateTimeField()
