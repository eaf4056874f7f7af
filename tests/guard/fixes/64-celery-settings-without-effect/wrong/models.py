import httpx
from django.conf import settings
from django.db import models


class Broadcast(models.Model):
    text = models.TextField()


class Delivery(models.Model):
    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="deliveries")
    address = models.CharField(max_length=200)
    sent = models.BooleanField(default=False)

    def send(self) -> None:
        body = {"key": self.pk, "to": self.address, "text": self.broadcast.text}
        httpx.post(settings.GATEWAY_URL, json=body, timeout=10).raise_for_status()
        self.sent = True
        self.save(update_fields=["sent"])
