"""Checks the logins in use again and again.

A token that was revoked or has expired opens nothing within `Offload.login_check`: the process
trusts it no more. Each long response ends soon after its token or its session, and also where the
token gives something else, such as another scope.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connections
from django.http import HttpRequest

from offload.access.app_config import app_config
from offload.access.sessions import read_users
from offload.access.tokens import Grant
from offload.conf import conf

logger = logging.getLogger("offload.access")

LOGIN_ENDED = (
    "The token was revoked or changed or has expired, or the session has ended. Log in again."
)


class Login(NamedTuple):
    """What a caller has shown: a token, by its digest, or a session, by its key."""

    kind: Literal["token", "session"]
    key: str
    grant: Grant | None = None
    """What the token gave. A session has none."""


def login_of(request: HttpRequest) -> Login | None:
    """What `BearerToken` or `SessionLogin` found; None for a login that cannot end."""
    found: Login | None = getattr(request, "login", None)
    return found


@dataclass(eq=False)
class WatchedLogin:
    """The login of one long response.

    Attributes:
        wake: called when the login has ended, so that the response sees it.
        ended: whether the token was revoked or changed or has expired, or the session has ended.
    """

    wake: Callable[[], None]
    ended: bool = False


class WatchedLogins:
    """The logins of a process's long responses, and the tokens that it trusts.

    A check of all of them takes three queries at most.
    """

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
                await app_config().last_use.write()
            except Exception:
                logger.exception(
                    "The logins in use could not be checked: a revoked token is trusted for some "
                    "seconds, and long responses go on. The next try is in %g s.",
                    conf().login_check,
                )

    async def _check(self) -> None:
        checked, watched = app_config().checked_tokens, set(self._watched)
        digests = checked.trusted() | {login.key for login in watched if login.kind == "token"}
        sessions = {login.key for login in watched if login.kind == "session"}
        valid = await sync_to_async(_read_valid)(digests, sessions)
        if valid is None:
            return

        checked.compare(digests, valid.tokens)
        for login in watched:
            if valid.has(login):
                continue
            for each in self._watched.get(login, ()):
                each.ended = True
                each.wake()


class _Valid(NamedTuple):
    """What valid tokens give, by their digests; and the keys of valid sessions."""

    tokens: dict[str, Grant]
    sessions: Collection[str]

    def has(self, login: Login) -> bool:
        """Whether a login is valid, and gives what it has given."""
        if login.kind == "session":
            return login.key in self.sessions
        return login.key in self.tokens and self.tokens[login.key] == login.grant


def _read_valid(digests: set[str], sessions: set[str]) -> _Valid | None:
    """Those of the logins that are valid; None where the database does not answer.

    An open response is not ended because the database is away.
    """
    # Here, since the package is imported before Django's models are loaded.
    from offload.access.models import ApiToken

    try:
        tokens = ApiToken.valid().filter(digest__in=digests) if digests else ()
        return _Valid({token.digest: token.grant() for token in tokens}, read_users(sessions))
    except (DatabaseError, InterfaceError):
        # The next try needs another connection.
        connections.close_all()
        return None
