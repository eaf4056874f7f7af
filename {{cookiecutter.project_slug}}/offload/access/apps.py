"""The Django app that holds the tokens."""

from typing import TYPE_CHECKING

from django.apps import AppConfig

from offload.access.last_use import LastUse
from offload.access.tokens import CheckedTokens
from offload.conf import conf

if TYPE_CHECKING:
    from offload.access.login import LoginLimits
    from offload.access.request_quota import RequestQuota


class AccessConfig(AppConfig):
    name = "offload.access"
    label = "offload_access"
    verbose_name = "API access"
    default_auto_field = "django.db.models.BigAutoField"
    login_limits: "LoginLimits"
    checked_tokens: CheckedTokens
    last_use: LastUse
    # None where the settings have no quota.
    quota: "RequestQuota | None" = None

    def ready(self) -> None:
        # It needs the models.
        from offload.access import events, login, request_quota

        limits = conf()
        self.login_limits = login.LoginLimits(limits.login_failures, limits.login_failure_window)
        self.checked_tokens, self.last_use = CheckedTokens(), LastUse()
        events.connect()
        if limits.requests_per_owner or limits.requests_per_address:
            self.quota = request_quota.RequestQuota()
