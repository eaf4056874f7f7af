"""A service of this template in one file: the whole API chain, its access log a JSON line a request to a file."""

import json
import logging
import os
from typing import Any

from django.conf import settings

MIDDLEWARE = [f"offload.serving.{name}" for name in ("RequestId", "AccessLog", "Metrics", "SecurityHeaders")]
FACTS = ("method", "path", "status", "ms", "request_id")


class JsonLine(logging.Formatter):
    """What a service's structlog would write."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"time": record.created, **{name: getattr(record, name) for name in FACTS}})


settings.configure(
    SECRET_KEY="only for a benchmark",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="serving_apps.urls",
    MIDDLEWARE=MIDDLEWARE,
    API_MIDDLEWARE=MIDDLEWARE,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["PEERS_DB"], "CONN_MAX_AGE": 60}},
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLine}},
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": os.environ["PEERS_LOG"], "formatter": "json"}
        },
        "loggers": {"offload.access": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    },
)

from offload.serving import Application  # noqa: E402  # Django's settings come first

application: Any = Application()
