"""What Django and Celery are told: a reason beside every setting that is not the default."""

# Celery's default app, for whatever imports Django's settings.
from config.celery import app as celery_app

__all__ = ["celery_app"]
