"""The settings of the generated service, with the app of the tests and a short lease."""

import dataclasses
import os

from config.settings import *  # noqa: F403 - the service is what is tested
from config.settings import INSTALLED_APPS, OFFLOAD

INSTALLED_APPS = [*INSTALLED_APPS, "hosts_project"]
ROOT_URLCONF = "hosts_project.urls"
# In seconds. A worker renews three times in this time; a lost job starts again after it. The
# default is 15.
OFFLOAD = dataclasses.replace(OFFLOAD, lease=10.0)
# Limits that a few dozen clients reach.
if "SMALL_LIMITS" in os.environ:
    OFFLOAD = dataclasses.replace(
        OFFLOAD,
        requests_in_flight=8,
        streams_in_flight=12,
        streams_per_owner=10,
        queue_depth=30,
        jobs_per_owner=25,
    )
