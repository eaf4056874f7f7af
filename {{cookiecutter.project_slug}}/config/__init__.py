"""The configuration of Django and Celery, with a reason for every setting that is no default."""

# Whatever imports Django's settings makes this Celery's default app.
from config.celery import app as celery_app

__all__ = ["celery_app"]
