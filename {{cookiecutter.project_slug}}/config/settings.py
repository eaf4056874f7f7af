"""Django's settings. A line differs from the default only with its reason beside it."""

import warnings
from importlib.util import find_spec
from typing import Any

import dj_database_url

from config import env as environment
from config.logs import LOGGING as LOGGING
from offload.conf import Offload

env = environment.load()
for sentence in environment.near_misses():
    warnings.warn(sentence, stacklevel=1)

BASE_DIR = environment.BASE_DIR
SECRET_KEY = env.secret_key
DEBUG = env.debug
ALLOWED_HOSTS = env.allowed_hosts

INSTALLED_APPS = [
    # Before staticfiles, whose `runserver` it replaces. A production image leaves it out.
    *(["offload_dev"] if find_spec("offload_dev") else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # For its checks alone; the middleware below serves.
    "servestatic",
    # The API's page from this host, not from a CDN.
    "ninja",
    "offload.guard",
    "offload.jobs",
    "offload.access",
{%- if cookiecutter.example == "yes" %}
    "{{ cookiecutter.package }}.portfolio",
{%- endif %}
]

# Two chains. The API's is async from end to end: no built-in middleware, each of which costs two
# thread hops a request (docs/guard/E704.md has the figures). Everything else keeps Django's full
# stack.
API_MIDDLEWARE = [
    "offload.serving.middleware.RequestId",
    "offload.serving.middleware.AccessLog",
    "offload.serving.middleware.Metrics",
    "offload.serving.middleware.SecurityHeaders",
    "offload.fanout.DeadlineMiddleware",
]
# An answer says where its request blocked the event loop.
if DEBUG:
    API_MIDDLEWARE.append("offload.guard.runtime.blocked_header.blocked_header")
MIDDLEWARE = [
    "offload.serving.middleware.RequestId",
    "offload.serving.middleware.AccessLog",
    "offload.serving.middleware.Metrics",
    "django.middleware.security.SecurityMiddleware",
    # Async-native; WhiteNoise blocks a thread a request.
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
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
if DEBUG:
    # Without these names Django wraps both loaders in its cached one, which keeps the first version
    # of each template. With them an edited template is in the next page.
    TEMPLATES[0]["APP_DIRS"] = False
    TEMPLATES[0]["OPTIONS"]["loaders"] = [
        "django.template.loaders.filesystem.Loader",
        "django.template.loaders.app_directories.Loader",
    ]

_database = dj_database_url.parse(env.database_url, conn_max_age=env.database_max_age, conn_health_checks=True)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # WAL: readers and one writer at a time. IMMEDIATE takes the write lock at BEGIN, where the busy
    # timeout can wait for it; the default takes it at the first write and fails at once if another
    # process was faster (Django docs, "Database is locked errors"). synchronous=NORMAL survives
    # crashes of processes under WAL (sqlite.org/wal).
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A test database in a file: worker processes can't see one in memory.
    _database["TEST"] = {"NAME": str(environment.VAR_DIR / "test.sqlite3")}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Static files straight from the apps: no collectstatic step to forget. ServeStatic lists them once,
# at start.
STATIC_URL = "static/"
STATIC_ROOT = environment.VAR_DIR / "static"
SERVESTATIC_USE_FINDERS = True
# Large job results; a shared volume or S3 storage with several hosts.
MEDIA_ROOT = environment.VAR_DIR / "media"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Cookies over HTTPS alone, wherever this is not a laptop.
if env.allowed_hosts != environment.LOOPBACK:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # TLS ends at the proxy in front.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

OFFLOAD = Offload(
    redis_url=env.redis_url,
    events_prefix="{{ cookiecutter.project_slug }}",
    worker_grace=env.worker_grace,
    worker_nice=env.worker_nice,
)
# Past it there is a 413 at the door; Django's 2.5 MB would be a 500.
DATA_UPLOAD_MAX_MEMORY_SIZE = OFFLOAD.body_limit
{%- if cookiecutter.example == "yes" %}
MARKETS_URL = env.markets_url
{%- endif %}
