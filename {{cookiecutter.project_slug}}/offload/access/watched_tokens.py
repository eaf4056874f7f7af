"""Checks the tokens of long responses again and again: each response ends soon after its token."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest

from offload.conf import conf

logger = logging.getLogger("offload.access")


def token_digest(request: HttpRequest) -> str | None:
    """The digest of the token that `BearerToken` found in the database; None for any other."""
    found: str | None = getattr(request, "token_digest", None)
    return found


@dataclass(eq=False)
class WatchedToken:
    """The token of one long response.

    Attributes:
        wake: called when the token has ended, so that the response sees it.
        ended: whether it was revoked, or has expired.
    """

    wake: Callable[[], None]
    ended: bool = False


class WatchedTokens:
    """The tokens of a process's long responses. One query checks them all."""

    def __init__(self) -> None:
        # By digest.
        self._watched: defaultdict[str, set[WatchedToken]] = defaultdict(set)

    @contextlib.contextmanager
    def watch(self, digest: str | None, wake: Callable[[], None]) -> Iterator[WatchedToken]:
        """Have a token checked. None is a token that cannot be revoked."""
        token = WatchedToken(wake)
        if digest is None:
            yield token
            return

        self._watched[digest].add(token)
        try:
            yield token
        finally:
            self._watched[digest].discard(token)
            if not self._watched[digest]:
                del self._watched[digest]

    async def run(self) -> None:
        """Check the tokens every `conf().token_check` seconds, until cancelled."""
        while True:
            await asyncio.sleep(conf().token_check)
            try:
                await self._check()
            except Exception:
                logger.exception(
                    "The tokens of long responses could not be checked: a revoked one is still "
                    "served until it closes. The next try is in %g s.",
                    conf().token_check,
                )

    async def _check(self) -> None:
        digests = set(self._watched)
        if not digests:
            return

        valid = await sync_to_async(_read_valid)(digests)
        for digest in digests - valid:
            for token in self._watched.get(digest, ()):
                token.ended = True
                token.wake()


def _read_valid(digests: set[str]) -> set[str]:
    """Those of the digests whose token is valid; all of them where the database does not answer.

    An open response is not ended because the database is away.
    """
    # Here, since the package is imported before Django's models are loaded.
    from offload.access.models import ApiToken

    rows = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest__in=digests)
    try:
        return set(rows.values_list("digest", flat=True))
    except (DatabaseError, InterfaceError):
        # The next try needs another connection.
        connections.close_all()
        return digests
