"""Registers the checks with Django."""

from django.apps import AppConfig


class GuardConfig(AppConfig):
    name = "offload.guard"
    label = "offload_guard"

    def ready(self) -> None:
        from offload.guard.checks import celery, web  # noqa: F401 - they register their checks
