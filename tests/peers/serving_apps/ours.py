"""The settings of a generated service; only the routes are the benchmark's."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "serving_apps.our_urls"
