from django.conf import settings
from django.core.files.base import ContentFile
from django.db import models


class Bot(models.Model):
    class State(models.TextChoices):
        READY = "ready"
        JOINED = "joined"
        ENDED = "ended"

    meeting_url = models.URLField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.READY)
    recording = models.FileField(upload_to="recordings/", null=True)


def record_meeting(url: str) -> ContentFile:
    import httpx

    parts = []
    timeout = httpx.Timeout(10, read=300)
    with httpx.stream("GET", settings.MEDIA_URL_OF, params={"url": url}, timeout=timeout) as answer:
        parts.extend(answer.iter_bytes())
    return ContentFile(b"".join(parts))
