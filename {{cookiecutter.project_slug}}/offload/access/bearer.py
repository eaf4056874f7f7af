"""Checks `Authorization: Bearer <token>`."""

import time

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from ninja.security import HttpBearer

from offload.access.tokens import digest
from offload.problems import Problem

# Works under DEBUG alone, which is off by default.
DEV_TOKEN = "dev-token"  # noqa: S105
# A token is trusted for this time after it was checked. A revoked token works no longer than that.
TRUST_SECONDS = 10.0
# So many checked tokens are remembered; then the memory starts empty again.
MAX_REMEMBERED_TOKENS = 10_000


class BearerToken(HttpBearer):
    """django-ninja's `auth=`: the caller's name, or 401.

    A token that was checked in the last seconds costs no thread and no query.
    """

    def __init__(self) -> None:
        super().__init__()
        # By digest the owner, and until when (`time.monotonic`) the token is trusted.
        self._checked: dict[str, tuple[str, float]] = {}

    async def authenticate(self, request: HttpRequest, token: str) -> str | None:
        """The owner of a valid token; after None ninja answers 401."""
        if token == DEV_TOKEN:
            return "dev" if settings.DEBUG else None

        key = digest(token)
        # For `watched_tokens.py`.
        request.token_digest = key  # type: ignore[attr-defined]
        owner, trusted_until = self._checked.get(key, ("", 0.0))
        if time.monotonic() < trusted_until:
            return owner
        return await self._check(key)

    async def _check(self, key: str) -> str | None:
        """Ask the database."""
        # Here, since the package is imported before Django's models are loaded.
        from offload.access.models import ApiToken

        valid = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest=key)
        found = await valid.afirst()
        if found is None:
            return None

        if len(self._checked) >= MAX_REMEMBERED_TOKENS:
            self._checked.clear()
        self._checked[key] = (found.owner, time.monotonic() + TRUST_SECONDS)
        return found.owner


def caller(request: HttpRequest) -> str:
    """Who is calling: the owner of the token that `BearerToken` has checked.

    Raises:
        Problem: 401 on a route without `auth=BearerToken()`.
    """
    owner = getattr(request, "auth", None)
    if not isinstance(owner, str):
        raise Problem(
            401, "send Authorization: Bearer <token>", headers={"WWW-Authenticate": "Bearer"}
        )
    return owner
