"""What Django and Celery are told: a reason beside every setting that is not the default."""

from config.celery import app as celery_app  # Celery's default app, for whatever imports Django's settings

__all__ = ["celery_app"]
