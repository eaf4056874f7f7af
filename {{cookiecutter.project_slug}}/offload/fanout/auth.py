"""Auth: an access token of this service, fetched when it is needed and shared by all calls."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from .context import CallContext, R, Strategy
from .errors import FAILURES, AuthFailed, DeadlineExceeded, without_frames
from .http import httpx

# A token is renewed in the background when so much of its lifetime is left, 60 s at most.
RENEW_SHARE = 0.1
RENEW_MAX_SECONDS = 60.0
# A token that was fetched less than this ago is not replaced, though it was refused; and a renewal
# in the background that failed is not repeated before. So an upstream that refuses every token
# costs the authorization server one request a second, and not one for each call.
REFRESH_PAUSE_SECONDS = 1.0

logger = logging.getLogger("offload.fanout")


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and the seconds for which it is good from now; `inf` if nobody says."""

    value: str = field(repr=False)
    expires_in: float = inf


@dataclass(slots=True)
class HeldToken:
    """The token in use; all instants are seconds of `time.monotonic()`."""

    header: str = field(repr=False)
    fetched_at: float
    renew_at: float
    expires_at: float


class TokenAuth:
    """The Authorization header of an upstream, by a token that an async function fetches.

    The token is the identity of this service: all callers share it, and single flight and cache
    share responses between them. A token of one caller goes into the `headers` of that call.

    One fetch serves all calls that wait for it. It goes on when some of them leave, and it runs in
    nobody's context: no caller's deadline ends it, so `fetch` has to end by itself. An `Upstream`
    does.

    Args:
        fetch: gets a new token. It fails by an `httpx.HTTPError`, an `UpstreamError` or an
            `OSError`; the calls that wait then fail with `AuthFailed`.
        scheme: stands before the token in the header.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Token]], scheme: str = "Bearer") -> None:
        self._fetch = fetch
        self._scheme = scheme
        self._held: HeldToken | None = None
        self._fetching: asyncio.Task[HeldToken | AuthFailed] | None = None
        # No renewal in the background before this instant.
        self._next_renewal_at = 0.0

    async def header(self, ends_at: float) -> str:
        """The header, with a token that has not expired.

        Raises `AuthFailed` if no token can be had, and `DeadlineExceeded` if there is none by
        `ends_at` (an instant of `time.monotonic()`).
        """
        held, now = self._held, monotonic()
        if held is None or now >= held.expires_at:
            return (await self._wait(ends_at)).header

        if now >= held.renew_at and now >= self._next_renewal_at:
            self._start()
        return held.header

    def drop_refused(self, header: str) -> bool:
        """Drop the token of a header that the upstream has refused.

        Returns:
            Whether a call may try again: `False` where the token was fetched just now.
        """
        held = self._held
        if held is None or held.header != header:
            # Another call has seen to it.
            return True
        if monotonic() - held.fetched_at < REFRESH_PAUSE_SECONDS:
            return False
        self._held = None
        return True

    async def _wait(self, ends_at: float) -> HeldToken:
        fetching = self._start()
        try:
            async with asyncio.timeout(ends_at - monotonic()):
                found = await asyncio.shield(fetching)
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed while the call waited for an access token."
            ) from None

        if isinstance(found, AuthFailed):
            # Every caller has an exception, and a traceback, of its own.
            raise AuthFailed(str(found)) from found.__cause__
        return found

    def _start(self) -> "asyncio.Task[HeldToken | AuthFailed]":
        """The fetch under way, or a new one."""
        running, loop = self._fetching, asyncio.get_running_loop()
        if running is None or running.done() or running.get_loop() is not loop:
            running = self._fetching = loop.create_task(self._renew(), context=Context())
        return running

    async def _renew(self) -> HeldToken | AuthFailed:
        """Fetch a token and hold it. A failure is returned, for all who wait."""
        self._next_renewal_at = monotonic() + REFRESH_PAUSE_SECONDS
        try:
            token = await self._fetch()
        except (*FAILURES, OSError) as error:
            logger.warning("No access token could be fetched: %r", error)
            failed = AuthFailed("No access token could be fetched.")
            # With its frames it would lead to this one, and so back to `failed`.
            failed.__cause__ = without_frames(error)
            return failed

        now = monotonic()
        left = min(RENEW_MAX_SECONDS, RENEW_SHARE * token.expires_in)
        self._held = HeldToken(
            header=f"{self._scheme} {token.value}",
            fetched_at=now,
            renew_at=now + token.expires_in - left,
            expires_at=now + token.expires_in,
        )
        return self._held


class AuthStrategy:
    """Sends a request with the token, and once more with a new token after a 401.

    A 401 says that the request was not carried out (RFC 9110, section 15.5.2): a write, too, is
    sent again. A call that brings an Authorization header of its own passes through.
    """

    def __init__(self, auth: TokenAuth, inner: Strategy) -> None:
        self._auth = auth
        self._inner = inner

    async def __call__(self, context: CallContext[R]) -> R:
        if any(name.lower() == "authorization" for name, _ in context.headers):
            return await self._inner(context)

        used = context.authorization = await self._auth.header(context.ends_at)
        try:
            return await self._inner(context)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 401 or not self._auth.drop_refused(used):
                raise

        context.authorization = await self._auth.header(context.ends_at)
        return await self._inner(context)
