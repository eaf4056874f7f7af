"""The settings of a generated service, with the peers' job and a short lease."""

import dataclasses

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, OFFLOAD

INSTALLED_APPS = [*INSTALLED_APPS, "jobs_apps.ours"]
OFFLOAD = dataclasses.replace(OFFLOAD, lease=3.0)
