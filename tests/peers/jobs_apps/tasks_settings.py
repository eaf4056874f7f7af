"""django-tasks' database backend. SQLite is set up as in our service."""

import os

INSTALLED_APPS = ["django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
SECRET_KEY = "peers"
USE_TZ = True
_vendor, _, _place = os.environ["PEERS_DB"].partition("://")
if _vendor == "sqlite":
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": _place.removeprefix("/"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            },
        }
    }
else:
    _user, _, _address = _place.partition("@")
    _host, _, _rest = _address.partition(":")
    _port, _, _name = _rest.partition("/")
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _name,
            "USER": _user,
            "HOST": _host,
            "PORT": _port,
        }
    }
