"""The table of API tokens. A token itself is shown once and never stored."""

from django.db import models
from django.db.models.functions import Now

from offload.access.tokens import digest, new_token


class ApiToken(models.Model):
    """One caller's token for the API. Jobs belong to its owner's name."""

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
        """A new row and its token. The token cannot be read again later."""
        token = new_token()
        return cls.objects.create(owner=owner, digest=digest(token), **values), token
