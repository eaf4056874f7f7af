"""The settings of a generated service, with every protection on. Only the route is ours here."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

# The lifespan opens the upstreams that fanout_apps declares.
INSTALLED_APPS = [*INSTALLED_APPS, "fanout_apps"]
ROOT_URLCONF = "fanout_apps.urls"
