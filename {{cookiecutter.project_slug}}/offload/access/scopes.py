"""What a token is for: `read` and `write`, as a list with spaces (RFC 6749 section 3.3)."""

from django.core.exceptions import ValidationError

READ = "read"
WRITE = "write"
SCOPES = (READ, WRITE)
ALL_SCOPES = f"{READ} {WRITE}"
# They change nothing (RFC 9110 section 9.2.1).
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


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
