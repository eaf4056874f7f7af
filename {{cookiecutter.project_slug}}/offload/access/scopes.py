"""What a token is for: `read` and `write`, as a list with spaces (RFC 6749 section 3.3)."""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from offload.problems import Problem
from offload.serving.methods import SAFE_METHODS

READ = "read"
WRITE = "write"
SCOPES = (READ, WRITE)
ALL_SCOPES = f"{READ} {WRITE}"


def needed_scope(method: str | None) -> str:
    """The scope that a request with this method needs."""
    return READ if method in SAFE_METHODS else WRITE


def check_scope(scope: str) -> None:
    """Check the list of a token.

    Raises:
        ValidationError: it is empty, or holds a word that is no scope.
    """
    words = scope.split()
    if not words or not set(words) <= set(SCOPES):
        raise ValidationError(f"{scope!r} is no scope: write {READ}, {WRITE}, or both.")


def scopes_of(request: HttpRequest) -> Collection[str]:
    """The scopes of the request's token. A session has all of them."""
    found: Collection[str] = getattr(request, "scopes", SCOPES)
    return found


def require_scope(scope: str, scopes: Collection[str]) -> None:
    """Refuse a caller whose token lacks a scope.

    Raises:
        Problem: 403 (RFC 6750 section 3.1).
    """
    if scope not in scopes:
        raise Problem(
            403,
            f"The token lacks the scope `{scope}`. Send one that has it.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
        )
