"""The Django app that holds the tokens."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "offload.access"
    label = "offload_access"
    verbose_name = "API access"
    default_auto_field = "django.db.models.BigAutoField"
