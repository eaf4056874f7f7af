"""Checks the logins of long responses again and again: each response ends soon after its login."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest

from offload.access.sessions import read_users
from offload.conf import conf

logger = logging.getLogger("offload.access")

LOGIN_ENDED = "The token was revoked or has expired, or the session has ended. Log in again."


class Login(NamedTuple):
    """What a caller has shown: a token, by its digest, or a session, by its key."""

    kind: Literal["token", "session"]
    key: str


def login_of(request: HttpRequest) -> Login | None:
    """What `BearerToken` or `SessionLogin` found; None for a login that cannot end."""
    found: Login | None = getattr(request, "login", None)
    return found


@dataclass(eq=False)
class WatchedLogin:
    """The login of one long response.

    Attributes:
        wake: called when the login has ended, so that the response sees it.
        ended: whether the token was revoked or has expired, or the session has ended.
    """

    wake: Callable[[], None]
    ended: bool = False


class WatchedLogins:
    """The logins of a process's long responses. A check of them all is three queries at most."""

    def __init__(self) -> None:
        self._watched: defaultdict[Login, set[WatchedLogin]] = defaultdict(set)

    @contextlib.contextmanager
    def watch(self, login: Login | None, wake: Callable[[], None]) -> Iterator[WatchedLogin]:
        """Have a login checked. None is one that cannot end."""
        watched = WatchedLogin(wake)
        if login is None:
            yield watched
            return

        self._watched[login].add(watched)
        try:
            yield watched
        finally:
            self._watched[login].discard(watched)
            if not self._watched[login]:
                del self._watched[login]

    async def run(self) -> None:
        """Check the logins every `conf().login_check` seconds, until cancelled."""
        while True:
            await asyncio.sleep(conf().login_check)
            try:
                await self._check()
            except Exception:
                logger.exception(
                    "The logins of long responses could not be checked: one that has ended is "
                    "still served until it closes. The next try is in %g s.",
                    conf().login_check,
                )

    async def _check(self) -> None:
        logins = set(self._watched)
        if not logins:
            return

        valid = await sync_to_async(_read_valid)(logins)
        for login in logins - valid:
            for watched in self._watched.get(login, ()):
                watched.ended = True
                watched.wake()


def _read_valid(logins: set[Login]) -> set[Login]:
    """Those of the logins that are valid; all of them where the database does not answer.

    An open response is not ended because the database is away.
    """
    tokens = [login.key for login in logins if login.kind == "token"]
    sessions = [login.key for login in logins if login.kind == "session"]
    try:
        valid = {Login("token", digest) for digest in _valid_digests(tokens)}
        return valid | {Login("session", key) for key in read_users(sessions)}
    except (DatabaseError, InterfaceError):
        # The next try needs another connection.
        connections.close_all()
        return logins


def _valid_digests(digests: Collection[str]) -> Collection[str]:
    if not digests:
        return ()
    # Here, since the package is imported before Django's models are loaded.
    from offload.access.models import ApiToken

    rows = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), digest__in=digests)
    return set(rows.values_list("digest", flat=True))
