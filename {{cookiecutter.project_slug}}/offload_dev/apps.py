"""The Django app of the development tools: it replaces `runserver`."""

from django.apps import AppConfig


class DevelopmentConfig(AppConfig):
    name = "offload_dev"
    label = "offload_dev"
