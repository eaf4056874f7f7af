"""The Django app that holds what all logins of a process share."""

from typing import TYPE_CHECKING

from django.apps import apps

if TYPE_CHECKING:
    from offload.access.apps import AccessConfig


def app_config() -> "AccessConfig":
    """The app, once Django's apps are loaded."""
    found: AccessConfig = apps.get_app_config("offload_access")  # type: ignore[assignment]
    return found
