"""The Django app that holds the tokens."""

from typing import TYPE_CHECKING

from django.apps import AppConfig

from offload.access.checked_tokens import CheckedTokens
from offload.access.last_use import LastUse
from offload.conf import conf

if TYPE_CHECKING:
    from offload.access.login import LoginLimits


class AccessConfig(AppConfig):
    name = "offload.access"
    label = "offload_access"
    verbose_name = "API access"
    default_auto_field = "django.db.models.BigAutoField"
    login_limits: "LoginLimits"
    checked_tokens: CheckedTokens
    last_use: LastUse

    def ready(self) -> None:
        # It needs the models.
        from offload.access import events, login

        limits = conf()
        self.login_limits = login.LoginLimits(limits.login_failures, limits.login_failure_window)
        self.checked_tokens, self.last_use = CheckedTokens(), LastUse()
        events.connect()
