from django.conf import settings
from django.db import models


class Membership(models.Model):
    class Plan(models.TextChoices):
        TRIAL = "trial"
        STANDARD = "standard"

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="membership"
    )
    plan = models.CharField(max_length=20, choices=Plan.choices, default=Plan.STANDARD)
    recurring = models.BooleanField(default=False)
    renews_at = models.DateTimeField(null=True, default=None)
