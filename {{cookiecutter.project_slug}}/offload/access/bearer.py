"""`Authorization: Bearer <token>`, checked without a thread or a query for a token seen in the last
seconds.
"""

import time

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from ninja.security import HttpBearer

from offload.access.models import ApiToken, digest
from offload.problems import Problem

DEV_TOKEN = "dev-token"  # noqa: S105 - works with DEBUG alone, and DEBUG is off by default
# Seconds a checked token is trusted: the longest a revoked one still works.
REMEMBER = 10.0
# Tokens; then the memory starts afresh.
_MOST_REMEMBERED = 10_000

_checked: dict[str, tuple[str, float]] = {}


class BearerToken(HttpBearer):
    """django-ninja's `auth=`: the caller's name, or 401."""

    async def authenticate(self, request: HttpRequest, token: str) -> str | None:
        """The owner of a valid token; None makes ninja answer 401."""
        if token == DEV_TOKEN:
            return "dev" if settings.DEBUG else None
        key = digest(token)
        owner, until = _checked.get(key, ("", 0.0))
        if time.monotonic() < until:
            return owner
        valid = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest=key)
        found = await valid.afirst()
        if found is None:
            return None
        if len(_checked) >= _MOST_REMEMBERED:
            _checked.clear()
        _checked[key] = (found.owner, time.monotonic() + REMEMBER)
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
