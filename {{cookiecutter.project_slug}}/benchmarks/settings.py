"""The service as production runs it, with the views and jobs that are measured."""

from config.settings import *  # noqa: F403 - what is measured is this service
from config.settings import API_MIDDLEWARE, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]
ROOT_URLCONF = "benchmarks.views"

# The chain of the pages is the API's and one sync-only middleware. The row `middleware`
# compares the two chains.
MIDDLEWARE = [*API_MIDDLEWARE, "benchmarks.views.sync_only"]
