"""Django with a database in memory. Import it before all other modules of this package."""

import logging
import os
import sys
from pathlib import Path

import django
from celery import Celery
from django.conf import settings
from kombu import Queue

TEMPLATE = Path(__file__).parents[3] / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(TEMPLATE))
# Only the settings below count.
os.environ.pop("DJANGO_SETTINGS_MODULE", None)

settings.configure(
    SECRET_KEY="model",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "offload.access",
        "offload.jobs",
    ],
    LOGGING_CONFIG=None,
)
Celery("model", set_as_current=True).conf.update(task_queues=[Queue("cpu")])
django.setup()

from django.core.management import call_command  # noqa: E402 - Django first

call_command("migrate", verbosity=0)
logging.disable(logging.CRITICAL)
