import os

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "broadcasts"]
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-development")
DATABASES = {
    "default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ.get("DB", "app")}
}

CELERY_BROKER_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
CELERY_TASK_TIME_LIMIT = 240
CELERY_TASK_SOFT_TIME_LIMIT = 210
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 60 * 5}
CELERY_TASK_REJECT_ON_WORKER_LOST = True
