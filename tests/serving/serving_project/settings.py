"""A small Django project for the serving room's tests."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url

from offload.conf import Offload

DEBUG = False
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
FORCE_SCRIPT_NAME = os.environ.get("SERVING_TEST_PREFIX")
SECURE_HSTS_SECONDS = 3600
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
ROOT_URLCONF = "serving_project.urls"
USE_TZ = True
LEAN = os.environ.get("OFFLOAD_LEAN", "1") == "1"
# Each request of Django's stock handler gets a new thread, which would leave its connection open
# until the garbage collector comes (E701).
CONN_MAX_AGE = 60 if LEAN else 0
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ.get("SERVING_TEST_DATA", tempfile.gettempdir()))
        / "serving.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
        "CONN_MAX_AGE": CONN_MAX_AGE,
    }
}
# The same tests can run on PostgreSQL.
if "DATABASE_URL" in os.environ:
    DATABASES["default"] = {
        **dj_database_url.config(conn_max_age=CONN_MAX_AGE, conn_health_checks=True),
        "ENGINE": "offload.postgresql",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
MIDDLEWARE = [
    "offload.serving.RequestId",
    "offload.serving.AccessLog",
    "offload.serving.Metrics",
    "django.middleware.security.SecurityMiddleware",
    "serving_project.views.sync_only",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
API_MIDDLEWARE = [
    "offload.serving.RequestId",
    "offload.serving.AccessLog",
    "offload.serving.Metrics",
    "offload.serving.SecurityHeaders",
    "serving_project.stream_views.makes_streams",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
OFFLOAD = Offload(
    lean=LEAN,
    fast=os.environ.get("OFFLOAD_FAST", "1") == "1",
    requests_in_flight=int(os.environ.get("SERVING_TEST_REQUESTS", "1000")),
    streams_in_flight=int(os.environ.get("SERVING_TEST_STREAMS", "5000")),
    max_request_threads=int(os.environ.get("SERVING_TEST_THREADS", "128")),
    max_request_connections=int(os.environ.get("SERVING_TEST_CONNECTIONS", "20")),
    request_thread_timeout=float(os.environ.get("SERVING_TEST_THREAD_TIMEOUT", "3")),
    body_limit=1024 * 1024,
    # Each test sets what it is about: SERVING_TEST_OFFLOAD='{"head_timeout": 1}'.
    **{"body_limits": {"/api/": 1024 * 1024, "/api/echo": 2 * 1024 * 1024}}
    | json.loads(os.environ.get("SERVING_TEST_OFFLOAD", "{}")),
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
