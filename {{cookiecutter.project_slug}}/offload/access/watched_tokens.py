"""Checks the tokens of long responses again and again: a stream ends soon after its token does."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest

from offload.conf import conf
from offload.serving import release


def token_digest(request: HttpRequest) -> str | None:
    """The digest of the token that `BearerToken` found in the database; None for any other."""
    found: str | None = getattr(request, "token_digest", None)
    return found


class WatchedTokens:
    """The tokens of a process's long responses. One query checks them all."""

    def __init__(self) -> None:
        self._watched: Counter[str] = Counter()
        self._ended: set[str] = set()
        self._next_check = 0.0

    @contextlib.contextmanager
    def watch(self, digest: str | None) -> Iterator[None]:
        """Have a token checked. None is a token that cannot be revoked."""
        if digest is None:
            yield
            return

        self._watched[digest] += 1
        try:
            yield
        finally:
            self._watched[digest] -= 1
            if not self._watched[digest]:
                del self._watched[digest]
                self._ended.discard(digest)

    async def still_valid(self, digest: str | None) -> bool:
        """Whether a watched token was neither revoked nor has expired, a few seconds ago.

        Whoever asks first after `conf().token_check` seconds checks for all.
        """
        if digest is None:
            return True

        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + conf().token_check
            await self._check()
        return digest not in self._ended

    async def _check(self) -> None:
        watched = set(self._watched)
        try:
            valid = await sync_to_async(_valid)(watched)
        except (DatabaseError, InterfaceError):
            # The database is away: an open stream is not ended for that.
            return
        finally:
            await release()
        self._ended |= watched - valid


def _valid(digests: set[str]) -> set[str]:
    # Here, since the package is imported before Django's models are loaded.
    from offload.access.models import ApiToken

    rows = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest__in=digests)
    return set(rows.values_list("digest", flat=True))
