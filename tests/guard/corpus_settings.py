"""Django settings under which the corpus runs.

Everything slow is really slow, so that nothing is caught by luck.
"""

import os
from pathlib import Path

import django

WORK = Path(os.environ.get("GUARD_WORK", "/nonexistent"))  # a directory of the test run's own

SECRET_KEY = "corpus"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(WORK / "db.sqlite3")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "shop",
    "offload.guard",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "shop.urls"  # empty: the nets give each case its own
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}
}
MAILBOX = "django.core.mail.backends.filebased.EmailBackend"
if django.VERSION < (6, 1):
    EMAIL_BACKEND, EMAIL_FILE_PATH = MAILBOX, str(WORK / "mail")
else:
    MAILERS = {"default": {"BACKEND": MAILBOX, "OPTIONS": {"file_path": str(WORK / "mail")}}}
MEDIA_ROOT = str(WORK / "media")
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
