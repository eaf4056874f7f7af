"""Checks `Authorization: Bearer <token>`."""

import ipaddress
import logging
from functools import cached_property
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest
from ninja.security import HttpBearer

from offload.access.app_config import app_config
from offload.access.client_address import client_address
from offload.access.failure_limit import FailureLimit
from offload.access.scopes import SCOPES, needed_scope, require_scope
from offload.access.tokens import Grant, digest
from offload.access.watched_logins import Login
from offload.conf import conf
from offload.problems import Problem

if TYPE_CHECKING:
    from offload.access.apps import AccessConfig

logger = logging.getLogger("offload.access")

# Works under DEBUG alone, which is off by default.
DEV_TOKEN = "dev-token"  # noqa: S105
DEV_GRANT = Grant("dev", frozenset(SCOPES))
# Wrong tokens are counted for this time.
FAILURE_WINDOW_SECONDS = 60.0


class BearerToken(HttpBearer):
    """django-ninja's `auth=`: the caller's name, 401, or 403 for a scope that the token lacks.

    A token that was checked in the last seconds costs no thread and no query. An address that sent
    too many wrong tokens is answered 429 without a query, unless its token was valid before.

    Every wrong token costs one query, whether it has expired, was revoked or never was one: the
    time of the answer does not tell which.
    """

    def __init__(self) -> None:
        super().__init__()
        self._failures = FailureLimit(conf().token_failures, FAILURE_WINDOW_SECONDS)

    @cached_property
    def _app(self) -> "AccessConfig":
        return app_config()

    async def authenticate(self, request: HttpRequest, token: str) -> str | None:
        """The owner of a valid token; after None ninja answers 401.

        Raises:
            Problem: 403, the token is not for this method; 429, too many wrong tokens came, or the
                owner's quota is used up; 503, the owner's requests cannot be counted.
        """
        grant = await self._grant_of(request, token)
        if grant is None:
            return None

        if quota := self._app.quota:
            await quota.take(request, quota.per_owner, grant.owner)
        request.scopes = grant.scopes  # type: ignore[attr-defined]
        require_scope(needed_scope(request.method), grant.scopes)
        return grant.owner

    async def _grant_of(self, request: HttpRequest, token: str) -> Grant | None:
        address = client_address(request)
        if token == DEV_TOKEN:
            return DEV_GRANT if settings.DEBUG and _is_loopback(address) else None

        key = digest(token)
        checked = self._app.checked_tokens.get(key)
        if checked is not None and checked.is_trusted():
            grant: Grant | None = checked.grant
        else:
            if checked is None:
                self._refuse_guesses(address)
            grant = await self._check(key)
        if grant is None:
            self._log_failure(address)
            return None

        # For `watched_logins.py`.
        request.login = Login("token", key, grant)  # type: ignore[attr-defined]
        self._app.last_use.add(key)
        return grant

    def _refuse_guesses(self, address: str) -> None:
        if seconds := self._failures.retry_after(address):
            raise Problem(
                429,
                f"Too many wrong tokens came from this address. Try again in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )

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

    async def _check(self, key: str) -> Grant | None:
        """Ask the database."""
        # Here, since the package is imported before Django's models are loaded.
        from offload.access.models import ApiToken

        found = await ApiToken.valid().filter(digest=key).afirst()
        if found is None:
            self._app.checked_tokens.forget(key)
            return None

        grant = found.grant()
        self._app.checked_tokens.remember(key, grant)
        return grant


def _is_loopback(address: str) -> bool:
    """Whether a request comes from this machine, and from no proxy that says otherwise."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def caller(request: HttpRequest) -> str:
    """Who is calling the API: the owner of the token, or the name of the user who has logged in.

    Raises:
        Problem: 401 on a route without `auth=`.
        RuntimeError: the request is for a page, where Django's middleware says who it is.
    """
    owner = getattr(request, "auth", None)
    if owner is None and hasattr(request, "user"):
        raise RuntimeError(
            "caller(request) is for endpoints of the API. In a page the owner of jobs is "
            "request.user.get_username(), or (await request.auser()).get_username()."
        )
    if not isinstance(owner, str):
        raise Problem(
            401, "send Authorization: Bearer <token>", headers={"WWW-Authenticate": "Bearer"}
        )
    return owner
