"""The Django app that registers the checks of the guard."""

from django.apps import AppConfig


class GuardConfig(AppConfig):
    name = "offload.guard"
    label = "offload_guard"

    def ready(self) -> None:
        # They register their checks.
        from offload.guard.checks import (  # noqa: F401
            celery_checks,
            database_checks,
            log_checks,
            task_checks,
            web_checks,
        )
