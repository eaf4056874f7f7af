"""Runs the checks on the examples of their pages: `python check_pages.py E701/wrong E701/right`.

Each argument is a folder with one file: settings, the environment, or a module of a service. Every
folder has a process of its own, because tasks, receivers and handlers stay where they are. Prints
one JSON object: for each folder the numbers of the checks that found something.
"""

import json
import logging.config
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from celery import Celery
from children import in_child
from django.conf import settings
from django.core import checks
from django.test import override_settings
from django.urls import path


def prepare() -> None:
    """A service in which no check finds anything."""
    celery = Celery("pages", set_as_default=True)
    celery.config_from_object("django.conf:settings", namespace="CELERY")
    settings.configure(
        SECRET_KEY="pages",
        INSTALLED_APPS=["offload.guard"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}},
        MIDDLEWARE=[],
    )
    django.setup()

    # WhiteNoise is not installed here: a sync-only middleware stands for it.
    stand_in = ModuleType("whitenoise.middleware")
    stand_in.WhiteNoiseMiddleware = type("WhiteNoiseMiddleware", (), {"async_capable": False})  # type: ignore[attr-defined]
    sys.modules["whitenoise"] = ModuleType("whitenoise")
    sys.modules["whitenoise.middleware"] = stand_in


def found(folder: str) -> list[str]:
    """The numbers of the checks that find something, when the folder's file is in effect."""
    (file,) = Path(folder).iterdir()
    if file.name == ".env":
        lines = (line for line in file.read_text().splitlines() if not line.startswith("#"))
        os.environ |= dict(line.split("=") for line in lines)
        return numbers({})

    names = runpy.run_path(str(file))
    values = {name: value for name, value in names.items() if name.isupper()}
    if "LOGGING" in values:
        logging.config.dictConfig(values["LOGGING"])
    if "view" in names:
        urls = ModuleType("urls")
        urls.urlpatterns = [path("", names["view"])]  # type: ignore[attr-defined]
        values["ROOT_URLCONF"] = urls
    return numbers(values)


def numbers(values: dict[str, Any]) -> list[str]:
    with override_settings(**values):
        messages = checks.run_checks(tags=["offload"])
    return [(message.id or "").removeprefix("offload.") for message in messages]


if __name__ == "__main__":
    prepare()
    print(json.dumps({folder: in_child(found, folder) for folder in sys.argv[1:]}))
