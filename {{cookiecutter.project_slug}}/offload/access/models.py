"""API tokens. The token itself is shown once and never stored."""

import hashlib
import secrets

from django.db import models
from django.db.models.functions import Now


def digest(token: str) -> str:
    """SHA-256 in hex. No salt or stretching is needed: a token is 256 random bits, not a password."""
    return hashlib.sha256(token.encode()).hexdigest()


class ApiToken(models.Model):
    """One caller's key to the API; the owner's name is what its jobs belong to."""

    owner = models.CharField(max_length=150)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "offload_api_token"
        ordering = ("owner", "-created_at")

    def __str__(self) -> str:
        return f"token of {self.owner}"

    @classmethod
    def make(cls, owner: str, **values: object) -> tuple["ApiToken", str]:
        """A new row and its token, which is nowhere to be read again."""
        token = secrets.token_urlsafe(32)
        return cls.objects.create(owner=owner, digest=digest(token), **values), token
