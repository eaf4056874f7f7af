"""Ours: a generated service's own settings, every protection of fan-out on; only the route is the
benchmark's.
"""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

# Whose upstreams.py the lifespan opens.
INSTALLED_APPS = [*INSTALLED_APPS, "fanout_apps"]
ROOT_URLCONF = "fanout_apps.urls"
