"""Checks the tokens in use again and again.

A token that was revoked or has expired opens nothing within `Offload.token_check`: the process
trusts it no more, and each of its long responses ends.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections
from django.http import HttpRequest

from offload.access.checked_tokens import Grant
from offload.conf import conf

if TYPE_CHECKING:
    from offload.access.apps import AccessConfig

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
    """The tokens of a process's long responses, and those that it trusts. One query checks all."""

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
                await _app().last_use.write()
            except Exception:
                logger.exception(
                    "The tokens in use could not be checked: a revoked one is trusted for some "
                    "seconds, and its long responses go on. The next try is in %g s.",
                    conf().token_check,
                )

    async def _check(self) -> None:
        checked = _app().checked_tokens
        digests = checked.trusted() | self._watched.keys()
        valid = await sync_to_async(_read_valid)(digests) if digests else None
        if valid is None:
            return

        checked.compare(digests, valid)
        for digest in digests - valid.keys():
            for token in self._watched.get(digest, ()):
                token.ended = True
                token.wake()


def _app() -> "AccessConfig":
    found: AccessConfig = apps.get_app_config("offload_access")  # type: ignore[assignment]
    return found


def _read_valid(digests: set[str]) -> dict[str, Grant] | None:
    """What those of the digests give whose token is valid; None if the database does not answer.

    An open response is not ended because the database is away.
    """
    # Here, since the package is imported before Django's models are loaded.
    from offload.access.models import ApiToken

    tokens = ApiToken.valid().filter(digest__in=digests)
    try:
        return {token.digest: token.grant() for token in tokens}
    except (DatabaseError, InterfaceError):
        # The next try needs another connection.
        connections.close_all()
        return None
