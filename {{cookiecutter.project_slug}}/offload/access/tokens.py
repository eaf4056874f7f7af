"""Makes tokens, and the digests under which they are stored."""

import hashlib
import secrets


def new_token() -> str:
    """A random token of 256 bits, 43 characters long."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """SHA-256 in hexadecimal.

    A salt or many rounds are for passwords, which can be guessed; 256 random bits cannot.
    """
    return hashlib.sha256(token.encode()).hexdigest()
