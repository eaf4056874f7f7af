"""The login of people, as in the admin: Django's own, with a limit on guesses.

A password takes 0.3 to 1.3 s of CPU to check (PBKDF2). Without limits a stranger's wrong passwords
would take the cores from everybody else.
"""

import logging
import threading
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from offload.access.client_address import client_address
from offload.access.failure_limit import FailureLimit

logger = logging.getLogger("offload.access")

# Passwords that are checked at once; each takes a core.
MAX_CHECKS_AT_ONCE = 2
# A login that has waited this long for its check fails (seconds).
CHECK_WAIT_SECONDS = 5.0


class LoginLimits:
    """The limits of a process: `AccessConfig` holds them.

    Args:
        max_failures: how many wrong passwords may come from one address in a window.
        window: in seconds.
    """

    def __init__(self, max_failures: int, window: float) -> None:
        self.failures = FailureLimit(max_failures, window)
        self.checks = threading.BoundedSemaphore(MAX_CHECKS_AT_ONCE)


class LimitedModelBackend(ModelBackend):
    """Checks no password for an address that was wrong too often, and few of them at once."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """The user with this name and password, or None.

        Raises:
            PermissionDenied: the password was not checked. Django asks no other backend then.
        """
        app: Any = apps.get_app_config("offload_access")
        limits: LoginLimits = app.login_limits
        address = client_address(request)
        if limits.failures.retry_after(address):
            raise PermissionDenied("too many wrong passwords from this address")
        if not limits.checks.acquire(timeout=CHECK_WAIT_SECONDS):
            raise PermissionDenied("too many logins at once")
        try:
            return super().authenticate(request, username, password, **kwargs)
        finally:
            limits.checks.release()

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """`authenticate` for async views. Django's own would hash on the event loop."""
        return await sync_to_async(self.authenticate)(request, username, password, **kwargs)
