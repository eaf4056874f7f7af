"""Checks `Authorization: Bearer <token>`."""

import ipaddress
import logging
import time

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from ninja.security import HttpBearer

from offload.access.failure_limit import FailureLimit
from offload.access.tokens import digest
from offload.access.watched_logins import Login
from offload.conf import conf
from offload.problems import Problem

logger = logging.getLogger("offload.access")

# Works under DEBUG alone, which is off by default.
DEV_TOKEN = "dev-token"  # noqa: S105
# A token is trusted for this time after it was checked. A revoked token works no longer than that.
TRUST_SECONDS = 10.0
# Wrong tokens are counted for this time.
FAILURE_WINDOW_SECONDS = 60.0
# The largest number of checked tokens that are remembered. Then the memory starts empty again.
MAX_REMEMBERED_TOKENS = 10_000


class BearerToken(HttpBearer):
    """django-ninja's `auth=`: the caller's name, or 401.

    A token that was checked in the last seconds costs no thread and no query. An address that sent
    too many wrong tokens is answered 429 without a query, unless its token was valid before.
    """

    def __init__(self) -> None:
        super().__init__()
        # By digest the owner, and until when (`time.monotonic`) the token is trusted.
        self._checked: dict[str, tuple[str, float]] = {}
        self._failures = FailureLimit(conf().token_failures, FAILURE_WINDOW_SECONDS)

    async def authenticate(self, request: HttpRequest, token: str) -> str | None:
        """The owner of a valid token; after None ninja answers 401."""
        address = str(request.META.get("REMOTE_ADDR") or "")
        if token == DEV_TOKEN:
            return "dev" if settings.DEBUG and _is_loopback(address) else None

        key = digest(token)
        # For `watched_logins.py`.
        request.login = Login("token", key)  # type: ignore[attr-defined]
        owner, trusted_until = self._checked.get(key, ("", 0.0))
        if time.monotonic() < trusted_until:
            return owner

        if not owner and (seconds := self._failures.retry_after(address)):
            raise Problem(
                429,
                f"Too many wrong tokens came from this address. Try again in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )
        found = await self._check(key)
        if found is None:
            self._log_failure(address)
        return found

    def _log_failure(self, address: str) -> None:
        """Count and log a wrong token. The requests that are refused later are not logged here."""
        if self._failures.add_failure(address):
            logger.warning(
                "Too many wrong tokens: %s is refused for %.0f s.",
                address,
                FAILURE_WINDOW_SECONDS,
                extra={"client": address},
            )
        else:
            logger.warning("A token is not valid.", extra={"client": address})

    async def _check(self, key: str) -> str | None:
        """Ask the database."""
        # Here, since the package is imported before Django's models are loaded.
        from offload.access.models import ApiToken

        valid = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest=key)
        found = await valid.afirst()
        if found is None:
            self._checked.pop(key, None)
            return None

        if len(self._checked) >= MAX_REMEMBERED_TOKENS:
            self._checked.clear()
        self._checked[key] = (found.owner, time.monotonic() + TRUST_SECONDS)
        return found.owner


def _is_loopback(address: str) -> bool:
    """Whether a request comes from this machine, and from no proxy that says otherwise."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def caller(request: HttpRequest) -> str:
    """Who is calling: the owner of the token, or the name of the user who has logged in.

    Raises:
        Problem: 401 on a route without `auth=`.
    """
    owner = getattr(request, "auth", None)
    if not isinstance(owner, str):
        raise Problem(
            401, "send Authorization: Bearer <token>", headers={"WWW-Authenticate": "Bearer"}
        )
    return owner
