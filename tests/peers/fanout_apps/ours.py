"""Ours: a generated service's own settings, every protection of fan-out on; only the route is the benchmark's."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "fanout_apps"]  # whose upstreams.py the lifespan opens
ROOT_URLCONF = "fanout_apps.urls"
