"""The Django app that registers the checks of the guard."""

from django.apps import AppConfig


class GuardConfig(AppConfig):
    name = "offload.guard"
    label = "offload_guard"

    def ready(self) -> None:
        # They register their checks.
        from offload.guard.checks import celery_checks, log_checks, web_checks  # noqa: F401
