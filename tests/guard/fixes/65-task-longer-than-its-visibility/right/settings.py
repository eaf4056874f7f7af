import os

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "bots"]
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-development")
DATABASES = {
    "default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ.get("DB", "app")}
}

CELERY_BROKER_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/5")
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 6 * 3600}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
