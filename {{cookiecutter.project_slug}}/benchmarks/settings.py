"""The service as production runs it, with the views and jobs that are measured."""

from config.settings import *  # noqa: F403 - what is measured is this service
from config.settings import API_MIDDLEWARE, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]
ROOT_URLCONF = "benchmarks.views"

# The chain of the pages, made the API's plus one sync-only middleware: what that one costs is a row
# of its own.
MIDDLEWARE = [*API_MIDDLEWARE, "benchmarks.views.sync_only"]
