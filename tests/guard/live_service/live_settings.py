"""Settings of a service whose only app is one case, as its tests would have them."""

import os
from importlib.util import find_spec
from pathlib import Path

from celery import Celery
from live_upstream import URL

WORK = Path(os.environ["LIVE_WORK"])
# One of the cases calls its app `library`.
APP = "library" if (WORK / "library").exists() else "shop"
SECRET_KEY = "a secret of the tests, which is long enough"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": WORK / "db.sqlite3",
        # A file: the requests of a served case come in other threads.
        "TEST": {"NAME": WORK / "test.sqlite3"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    *(name for name in ("rest_framework",) if find_spec(name)),
    "offload.guard",
    APP,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
API_MIDDLEWARE: list[str] = []
# Each test has the URLs of its case.
ROOT_URLCONF = "test_case"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
MEDIA_ROOT = WORK / "media"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]

# What the cases ask for.
GAZETTEER = MODEL_URL = STORE_URL = FORGE_URL = BLOCKS_URL = SPEECH_URL = GATEWAY_URL = URL
SANDBOX_URL = URL
PROBLEMS_URL = f"{URL}/"
STORE_KEY = FORGE_TOKEN = COURSE_TOKEN = OPENAI_KEY = "key"
DOCUMENT_STORE = "shop.stores.RemoteStore"
CHAIN_NETWORK = "main"
HUEY = {"huey_class": "huey.MemoryHuey", "name": "shop", "immediate": True}

celery = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=True)
celery.set_default()
# As the tests of many teams run their tasks: it hides the faults that the plugin has to see.
celery.conf.task_always_eager = True
