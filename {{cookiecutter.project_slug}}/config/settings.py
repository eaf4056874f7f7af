"""Django's settings. A setting that is no default has its reason above it."""

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
SECRET_KEY_FALLBACKS = env.secret_key_fallbacks
DEBUG = env.debug
ALLOWED_HOSTS = env.allowed_hosts

INSTALLED_APPS = [
    # Before staticfiles, since it replaces the `runserver` of staticfiles. A production image
    # leaves it out.
    *(["offload_dev"] if find_spec("offload_dev") else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # For its checks. The files are served by the middleware below.
    "servestatic",
    # Serves the API's page from this host instead of a CDN.
    "ninja",
    "offload.guard",
    "offload.jobs",
    "offload.access",
{%- if cookiecutter.example == "yes" %}
    "{{ cookiecutter.package }}.portfolio",
{%- endif %}
]

# Two chains. The chain of the API is async from end to end, and has none of Django's middleware:
# each would cost two changes of thread a request (docs/guard/E704.md has the figures). All other
# paths keep Django's full stack.
API_MIDDLEWARE = [
    "offload.serving.middleware.RequestId",
    "offload.serving.middleware.Traces",
    "offload.serving.middleware.AccessLog",
    "offload.serving.middleware.Metrics",
    "offload.serving.middleware.SecurityHeaders",
    # What is left of the caller's quota. Only with `requests_per_owner` or `requests_per_address`.
    "offload.access.QuotaHeaders",
    "offload.fanout.DeadlineMiddleware",
]
if DEBUG:
    # A response says where its request blocked the event loop.
    API_MIDDLEWARE.append("offload.guard.runtime.blocked_header.blocked_header")
MIDDLEWARE = [
    "offload.serving.middleware.RequestId",
    "offload.serving.middleware.Traces",
    "offload.serving.middleware.AccessLog",
    "offload.serving.middleware.Metrics",
    # For the policies that Django 5.2 has no settings for.
    "offload.serving.middleware.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    # Async. WhiteNoise would block a thread for each request.
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

_database = dj_database_url.parse(
    env.database_url, conn_max_age=env.database_max_age, conn_health_checks=True
)
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # WAL: one writer at a time, and readers beside it. IMMEDIATE takes the write lock at BEGIN,
    # where the busy timeout can wait for it. The default takes the lock at the first write, and
    # fails at once if another process was faster (Django docs, "Database is locked errors").
    # synchronous=NORMAL survives crashes of processes under WAL (sqlite.org/wal).
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A test database in a file: worker processes cannot see one in memory.
    _database["TEST"] = {"NAME": str(environment.VAR_DIR / "test.sqlite3")}
elif _database["ENGINE"] == "django.db.backends.postgresql":
    # PostgreSQL has no limits of its own, and waits for ever. Times are in seconds, or in
    # milliseconds where PostgreSQL wants them so.
    _database["ENGINE"] = "offload.postgresql"
    _limit = env.database_statement_timeout
    _database["OPTIONS"] = {
        # The shortest that libpq knows.
        "connect_timeout": 2,
        # A host that is gone, such as after a failover, is found after 5 + 3 * 2 s.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        # The server ends a slow query. The client gives up a server that does not even do that.
        "answer_timeout": _limit + 1 if _limit else None,
        # A transaction that was left open holds its locks no longer than this.
        "options": f"-c statement_timeout={round(_limit * 1000)}"
        " -c idle_in_transaction_session_timeout=60000",
        # What DATABASE_URL says wins, such as `?sslmode=require`.
        **_database.get("OPTIONS", {}),
    }
    if env.database_pooler:
        # PgBouncer refuses `options`, or ignores them. Its server connections get the limits from
        # the role.
        del _database["OPTIONS"]["options"]
        # A cursor on the server lives in one connection, and the next transaction has another.
        _database["DISABLE_SERVER_SIDE_CURSORS"] = True
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Static files are served straight from the apps, so that nobody has to run collectstatic.
# ServeStatic lists them once, at start.
STATIC_URL = "static/"
STATIC_ROOT = environment.VAR_DIR / "static"
SERVESTATIC_USE_FINDERS = True
# Large results of jobs. With several hosts this is a shared volume, or S3 storage.
MEDIA_ROOT = environment.VAR_DIR / "media"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# Django's own, with a limit on wrong passwords.
AUTHENTICATION_BACKENDS = ["offload.access.login.LimitedModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        # The default is 8. OWASP ASVS 2.1.1 asks for 12.
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Anywhere but on a developer's machine, cookies are sent over HTTPS only. TLS ends at the proxy in
# front. Its X-Forwarded-Proto is believed if FORWARDED_ALLOW_IPS has its address. Django's
# SECURE_PROXY_SSL_HEADER would believe everybody who reaches the port.
if environment.is_production(env):
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # A page that is asked for over HTTP. The API is not redirected: its token was sent already.
    SECURE_SSL_REDIRECT = True
    # In seconds: a year, as OWASP advises. It is sent over HTTPS alone.
    SECURE_HSTS_SECONDS = 31_536_000
    # Both would bind other services, whose names end with this one's. Decide it for the domain.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

OFFLOAD = Offload(
    host=env.host,
    port=env.port,
    trusted_proxies=tuple(env.forwarded_allow_ips),
    metrics_token=env.metrics_token,
    redis_url=env.redis_url,
    events_prefix="{{ cookiecutter.project_slug }}",
    worker_grace=env.worker_grace,
    worker_nice=env.worker_nice,
    worker_life_file=env.worker_life_file,
    worker_metrics_port=env.worker_metrics_port,
    spool_folder=env.spool_folder,
)
{%- if cookiecutter.websockets == "yes" %}
# For messages of your own consumers to groups of clients. `/ws/jobs` needs none. One subscription a
# process; a Redis list for each client (`channels_redis.core`) would be polled. For a client that
# reads slowly 100 messages wait (`capacity`).
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "offload.sockets.channel_layer.BoundedPubSubChannelLayer",
        "CONFIG": {
            "hosts": [env.redis_url],
            "prefix": "{{ cookiecutter.project_slug }}:channels",
        },
    }
}
{%- endif %}
# For libraries that enqueue through django.tasks (Django 6.0 and newer). The default would run each
# task inside of the request that enqueues it.
TASKS = {"default": {"BACKEND": "offload.jobs.task_backend.JobBackend"}}
# A body over the limit is answered 413 before Django sees it. With Django's own limit of 2.5 MB the
# answer would be a 500.
DATA_UPLOAD_MAX_MEMORY_SIZE = OFFLOAD.body_limit
{%- if cookiecutter.example == "yes" %}
MARKETS_URL = env.markets_url
{%- endif %}
