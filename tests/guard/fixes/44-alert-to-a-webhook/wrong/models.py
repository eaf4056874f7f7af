from django.db import models


class ServiceConfig(models.Model):
    name = models.CharField(max_length=100)
    webhook_url = models.URLField()
    last_error = models.TextField(blank=True)

    def alert(self, title: str, issue_url: str) -> None:
        from .backends import chat_send_alert

        chat_send_alert.delay(self.webhook_url, title, issue_url, self.pk)
