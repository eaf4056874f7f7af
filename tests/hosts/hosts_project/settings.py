"""The settings of the generated service, with the app of the tests and a short lease."""

import dataclasses

from config.settings import *  # noqa: F403 - the service is what is tested
from config.settings import INSTALLED_APPS, OFFLOAD

INSTALLED_APPS = [*INSTALLED_APPS, "hosts_project"]
ROOT_URLCONF = "hosts_project.urls"
# In seconds. A worker renews three times in this time; a lost job starts again after it. The
# default is 15.
OFFLOAD = dataclasses.replace(OFFLOAD, lease=10.0)
