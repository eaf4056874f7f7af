"""The settings of the generated service, with the app of the experiments."""

from config.settings import *  # noqa: F403 - the service is what is attacked
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "lab_project"]
ROOT_URLCONF = "lab_project.urls"
