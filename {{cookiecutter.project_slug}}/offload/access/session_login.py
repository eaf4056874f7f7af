"""Checks the session cookie of a user who has logged in, so that a page can call the API."""

from collections.abc import Awaitable
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware
from ninja.security.base import AuthBase

from offload.access.app_config import app_config
from offload.access.sessions import read_users, session_store
from offload.access.watched_logins import Login
from offload.problems import Problem


class SessionLogin(AuthBase):
    """django-ninja's `auth=`: the user's name, or 401.

    The owner is `user.get_username()`: a user has the jobs of the tokens with the same owner. The
    session is read at each request, so a logout holds at once. A method that is not safe needs a
    CSRF token, too.

    A request without the cookie costs nothing, nor does one whose token is valid: that is checked
    before. A request with another bearer token is refused: its caller means the token.
    """

    openapi_type = "apiKey"
    openapi_in = "cookie"
    # For ninja's page of the API: its requests carry the header of the CSRF token.
    csrf = True
    openapi_description = (
        "The session of a user who has logged in. POST, PUT, PATCH and DELETE need the header "
        "`X-CSRFToken` with the value of the CSRF cookie, too."
    )

    def __init__(self) -> None:
        self.openapi_name = settings.SESSION_COOKIE_NAME
        super().__init__()

    def __call__(self, request: HttpRequest) -> Awaitable[str | None] | None:
        """The check of the request, unless it has no session or another login."""
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0]
        # A quoted cookie may hold any character, and PostgreSQL takes no NUL.
        if not key.isascii() or not key.isprintable() or not key or scheme.lower() == "bearer":
            return None
        return self.authenticate(request, key)

    async def authenticate(self, request: HttpRequest, key: str) -> str | None:
        """The name of the user whose session this is; after None ninja answers 401.

        Raises:
            Problem: 403, the request may be forged; 400, its form cannot be read; 429, the owner's
                quota is used up; 503, the owner's requests cannot be counted.
        """
        owner: str | None = await sync_to_async(_owner)(request, key)
        if owner is not None:
            # For `watched_logins.py`.
            request.login = Login("session", key)  # type: ignore[attr-defined]
            if quota := app_config().quota:
                await quota.take(request, quota.per_owner, owner)
        return owner


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check, which gives the reason of a refusal instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _owner(request: HttpRequest, key: str) -> str | None:
    user = read_users([key]).get(key)
    if user is None:
        return None

    if settings.CSRF_USE_SESSIONS:
        # It has the CSRF token.
        request.session = session_store()(key)
    check: Any = _CsrfCheck(lambda request: HttpResponse())
    check.process_request(request)
    try:
        reason = check.process_view(request, None, (), {})
    except MultiPartParserError as error:
        # The token of a form is in its body.
        raise Problem(400, f"The form cannot be read: {error}") from error
    if reason:
        raise Problem(
            403,
            f"{str(reason).rstrip('.')}. A session needs the header X-CSRFToken, with the value of "
            f"the CSRF cookie, and an origin that this service knows. A token needs neither.",
        )
    owner: str = user.get_username()
    return owner
