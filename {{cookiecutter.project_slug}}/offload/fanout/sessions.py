"""Sessions: the connections of one upstream, renewed when they reach their maximum age."""

import asyncio
import logging
import ssl
from contextvars import Context
from dataclasses import dataclass
from time import monotonic

import aiohttp

from .connector import UpstreamConnector
from .decoding import ACCEPT_ENCODING
from .resolver import UpstreamResolver
from .tls import TlsFiles, tls_context

logger = logging.getLogger("offload.fanout")


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """How connections to one upstream are made and kept; times are in seconds.

    Attributes:
        upstream: its name, for log lines.
        max_connections: as many as the bulkhead has slots, so that no call waits here.
        keepalive: an idle connection is closed after this time.
        max_age: no request is sent over a connection older than this.
        connect_timeout: to look the name up, and again to connect.
        proxy: the address of an HTTP proxy, through which all connections go.
        tls: for an https upstream, the files of its TLS context.
    """

    upstream: str
    max_connections: int
    keepalive: float
    max_age: float
    connect_timeout: float
    proxy: str | None = None
    tls: TlsFiles | None = None


@dataclass(slots=True, eq=False)
class Generation:
    """Connections that were made from one moment on, with the TLS context of that moment.

    A retired generation takes no new request, and is closed when its last response was read.
    """

    sessions: "Sessions"
    session: aiohttp.ClientSession
    users: int = 0
    retired: bool = False

    def leave(self) -> None:
        """Count a response as read; every request that entered has to."""
        self.users -= 1
        if self.retired and not self.users:
            self.sessions.close_soon(self)


class Sessions:
    """The generations of one upstream. Make it inside the event loop that uses it.

    aiohttp has no maximum age for connections (aiohttp #4948). Without one, a busy connection never
    sees that the name has got another address, or that a certificate was renewed. So a new session
    takes the place of the old one from time to time, as in .NET's IHttpClientFactory.
    """

    def __init__(self, settings: ConnectionSettings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._tls = tls
        # One for all generations: it keeps the addresses, and bounds the lookups.
        self._resolver = UpstreamResolver(settings.connect_timeout)
        self._closing: set[asyncio.Task[None]] = set()
        self._renewal: asyncio.Task[None] | None = None
        # The instant from which a request has to `renew` before it enters.
        self.renew_at = monotonic() + settings.max_age
        self._current = self._make()
        self._open = {self._current}

    def enter(self) -> Generation:
        """The generation for one request, which has to `leave` it; see `renew_at` before."""
        self._current.users += 1
        return self._current

    async def renew(self) -> None:
        """Make a new generation. Other requests use the old one until it is there."""
        self.renew_at = monotonic() + self._settings.max_age
        if self._settings.tls is None:
            self._replace()
            return

        # A caller that leaves does not end the renewal, which runs in nobody's context: the task is
        # kept, and would keep that of the caller.
        renewing = self._renew_with_tls(self._settings.tls)
        self._renewal = asyncio.get_running_loop().create_task(renewing, context=Context())
        await asyncio.shield(self._renewal)

    async def _renew_with_tls(self, files: TlsFiles) -> None:
        try:
            self._tls = await tls_context(files)
        except OSError as error:
            logger.warning(
                "Upstream %s: its TLS files cannot be read (%s). The certificates read before are "
                "used; the next try is in %g s.",
                self._settings.upstream,
                error,
                self._settings.max_age,
            )
        self._replace()

    def _replace(self) -> None:
        old = self._current
        self._current = self._make()
        self._open.add(self._current)
        old.retired = True
        if not old.users:
            self.close_soon(old)

    def _make(self) -> Generation:
        connector = UpstreamConnector(
            limit=self._settings.max_connections,
            keepalive_timeout=self._settings.keepalive,
            ssl=self._tls or True,
            resolver=self._resolver,
            # The resolver keeps the addresses.
            use_dns_cache=False,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            # A cookie set for one caller must not be sent for the next.
            cookie_jar=aiohttp.DummyCookieJar(),
            # The pipeline bounds the whole exchange. The time for the connection is bounded here,
            # because only here a hanging connection can be told from a slow response.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout),
            # The transport decodes: it sees whether a body was whole (`decoding.py`).
            auto_decompress=False,
            headers={"Accept-Encoding": ACCEPT_ENCODING},
            proxy=self._settings.proxy,
        )
        # aiohttp would send a GET a second time when a kept connection turns out to be closed.
        # Retries stay in `retry.py`, where they are counted. aiohttp's own test client sets this,
        # too; a middleware, which is public, would cost each call three coroutines.
        session._retry_connection = False  # noqa: SLF001
        return Generation(self, session)

    def close_soon(self, generation: Generation) -> None:
        """Close a generation that nobody uses any more."""
        self._open.discard(generation)
        closing = asyncio.ensure_future(generation.session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._renewal:
            self._renewal.cancel()
        for generation in list(self._open):
            self.close_soon(generation)
        if self._closing:
            await asyncio.wait(self._closing)
