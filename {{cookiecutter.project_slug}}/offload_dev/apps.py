"""The app that replaces `runserver`."""

from django.apps import AppConfig


class DevConfig(AppConfig):
    name = "offload_dev"
    label = "offload_dev"
