"""Django with a database in memory, and the model's job types. Import it before `offload`."""

import logging
import os
import sys
from pathlib import Path

import django
from celery import Celery
from django.conf import settings
from kombu import Queue
from pydantic import BaseModel

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

from django.core.management import call_command  # noqa: E402

from offload.jobs import MiB, Report, job  # noqa: E402

# The most attempts of each job: the second is the last.
MAX_ATTEMPTS = 2


class Nothing(BaseModel):
    pass


class Count(BaseModel):
    value: int


def _one(params: Nothing) -> list[Nothing]:
    return [params]


def _two(params: Nothing) -> list[Nothing]:
    return [params, params]


@job("plain", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS)
def plain(params: Nothing, report: Report) -> Count:
    return Count(value=1)


@job("whole", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS, split=_two, part=plain)
def whole(params: Nothing, parts: list[Count]) -> Count:
    return Count(value=sum(part.value for part in parts))


@job("middle", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS, split=_one, part=plain)
def middle(params: Nothing, parts: list[Count]) -> Count:
    return Count(value=sum(part.value for part in parts))


@job("top", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS, split=_one, part=middle)
def top(params: Nothing, parts: list[Count]) -> Count:
    return Count(value=sum(part.value for part in parts))


call_command("migrate", verbosity=0)

logging.disable(logging.CRITICAL)
