"""Logs who tried to get in, and who may: failed logins, tokens made, changed and revoked."""

import logging
from typing import Any

from django.apps import apps
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from offload.access.client_address import client_address
from offload.access.models import ApiToken

logger = logging.getLogger("offload.access")


def connect() -> None:
    """Connect the receivers; called once, when Django's apps are loaded."""
    user_login_failed.connect(log_failed_login)
    user_logged_in.connect(log_login)
    post_save.connect(log_saved_token, sender=ApiToken)
    post_delete.connect(log_deleted_token, sender=ApiToken)


def log_failed_login(
    credentials: dict[str, Any], request: HttpRequest | None = None, **_: object
) -> None:
    """Count and log a wrong name or password. Django has replaced the password by stars."""
    address = client_address(request)
    limits = apps.get_app_config("offload_access").login_limits  # type: ignore[attr-defined]
    facts = {"client": address, "user": str(credentials.get("username", ""))[:150]}
    if limits.failures.add_failure(address):
        logger.warning(
            "Too many failed logins: %s is refused for %.0f s.",
            address,
            limits.failures.window,
            extra=facts,
        )
    else:
        logger.warning("A login failed.", extra=facts)


def log_login(user: Any, request: HttpRequest | None = None, **_: object) -> None:
    """Log who got in."""
    facts = {"client": client_address(request), "user": user.get_username()}
    logger.info("A user logged in.", extra=facts)


def log_saved_token(instance: ApiToken, created: bool, **_: object) -> None:
    """Log that somebody may call the API, and for how long."""
    expires_at = instance.expires_at.isoformat() if instance.expires_at else None
    logger.info(
        "A token was made." if created else "A token was changed.",
        extra={"token": instance.pk, "token_owner": instance.owner, "expires_at": expires_at},
    )


def log_deleted_token(instance: ApiToken, **_: object) -> None:
    """Log that somebody may not call the API any more."""
    facts = {"token": instance.pk, "token_owner": instance.owner}
    logger.info("A token was revoked.", extra=facts)
