"""The table of API tokens. A token itself is shown once and never stored."""

from datetime import timedelta

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from offload.access.scopes import ALL_SCOPES, check_scope
from offload.access.tokens import Grant, digest, new_token


class ApiToken(models.Model):
    """One caller's token for the API. Jobs belong to its owner's name."""

    owner = models.CharField(max_length=150)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # With a default of the database: while a new version is rolled out, the old one inserts rows.
    scope = models.CharField(
        max_length=100,
        db_default=ALL_SCOPES,
        default=ALL_SCOPES,
        validators=[check_scope],
        help_text="read (GET and HEAD), write (everything else), or both with a space",
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    # At most a minute late; `last_use.py` writes it.
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "offload_api_token"
        ordering = ("owner", "-created_at")

    def __str__(self) -> str:
        return f"token of {self.owner}"

    @classmethod
    def make(cls, owner: str, **values: object) -> tuple["ApiToken", str]:
        """A new row and its token. The token cannot be read again later."""
        token = new_token()
        return cls.objects.create(owner=owner, digest=digest(token), **values), token

    @classmethod
    def valid(cls) -> "models.QuerySet[ApiToken]":
        """The tokens that have not expired."""
        return cls.objects.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=Now()))

    @classmethod
    def rotate(cls, pk: int, overlap: timedelta) -> tuple["ApiToken", str]:
        """A new token with the owner and scope of a valid one, which ends after `overlap`.

        The new one lives as long as the old one was to.

        Raises:
            ApiToken.DoesNotExist: there is no valid token with this key.
        """
        with transaction.atomic():
            old = cls.valid().select_for_update().get(pk=pk)
            now = timezone.now()
            lifetime = old.expires_at - old.created_at if old.expires_at else None
            expires_at = now + lifetime if lifetime else None
            made = cls.make(old.owner, scope=old.scope, expires_at=expires_at)
            if overlap:
                old.expires_at = min(old.expires_at or now + overlap, now + overlap)
                old.save(update_fields=["expires_at"])
            else:
                # The clocks of hosts differ: another one might take "now" for later.
                old.delete()
        return made

    def grant(self) -> Grant:
        """What the token gives to its caller."""
        return Grant(self.owner, frozenset(self.scope.split()))
