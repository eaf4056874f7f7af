"""Resolver: looks up the addresses of one upstream, so that no other upstream waits for them."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from time import monotonic
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from .errors import EXHAUSTED_ERRNOS
from .http import httpx

# Addresses are used for this time before they are looked up again (aiohttp's own default).
ADDRESS_FRESH_SECONDS = 10.0
# A call waits this long for a new lookup while it knows older addresses. RFC 8767, section 5,
# recommends 1.8 s for a whole query of a client; a call to an upstream has 2 s for everything.
STALE_ANSWER_AFTER_SECONDS = 0.25
# Older addresses are no longer used (RFC 8767, section 4, recommends 1 to 3 days).
ADDRESS_STALE_SECONDS = 86400.0

# (host, port, family)
Name = tuple[str, int, int]
# The signature of `socket.getaddrinfo`.
Lookup = Callable[..., list[Any]]


@dataclass(slots=True)
class KnownAddresses:
    """What the last lookup of a name found."""

    found_at: float
    results: list[ResolveResult]

    @property
    def age(self) -> float:
        """Seconds since the lookup."""
        return monotonic() - self.found_at

    def next(self) -> list[ResolveResult]:
        """All addresses, at each time another one first, so that connections spread over them."""
        self.results = self.results[1:] + self.results[:1]
        return self.results


@dataclass(slots=True)
class RunningLookup:
    """A lookup under way, and its result for all who wait for it."""

    started_at: float
    done: asyncio.Future[list[ResolveResult]]


class UpstreamResolver(AbstractResolver):
    """Looks up names by the system's resolver, each lookup in a thread of its own.

    A lookup can hang for 30 s and cannot be cancelled. In a shared pool of threads, the names of
    two upstreams that hang cut off all others: uvloop's pool gives lookups 2 threads (measured:
    every call to a healthy upstream ended as `timeout`). Here one name has at most one thread, and
    an upstream has one name. The threads are daemons: none of them delays the end of the process.

    Three cases:
    1. The addresses are fresh: they are used.
    2. Older addresses are known: a lookup starts, and they are used if it fails for the time being
       or takes longer than `STALE_ANSWER_AFTER_SECONDS`.
    3. Nothing is known: the caller waits for the lookup.

    Args:
        connect_timeout: seconds for which a caller waits in the third case.
        lookup: `socket.getaddrinfo`, or a function of a test in its place.
    """

    def __init__(self, connect_timeout: float, lookup: Lookup = socket.getaddrinfo) -> None:
        self._connect_timeout = connect_timeout
        self._lookup = lookup
        self._known: dict[Name, KnownAddresses] = {}
        self._running: dict[Name, RunningLookup] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises `OSError` if there are none, and `httpx.ConnectTimeout` if the lookup takes too long.
        """
        name = (host, port, int(family))
        known = self._known.get(name)
        if known and known.age < ADDRESS_FRESH_SECONDS:
            return known.next()

        # offload: allow OFF505: one for each name, and one lookup in ten seconds; see above
        running = self._running.get(name) or self._start(name)
        if known is None or known.age > ADDRESS_STALE_SECONDS:
            return await self._wait(running, host)

        left = running.started_at + STALE_ANSWER_AFTER_SECONDS - monotonic()
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(running.done)
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                # The name server says that there is no such name.
                raise
            return known.next()
        except OSError:
            # A timeout, too, is an `OSError`.
            return known.next()

    async def _wait(self, running: RunningLookup, host: str) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await asyncio.shield(running.done)
        except TimeoutError:
            raise httpx.ConnectTimeout(
                f"The name {host} was not looked up within {self._connect_timeout} s "
                "(connect_timeout). Check the name servers of this machine."
            ) from None

    def _start(self, name: Name) -> RunningLookup:
        loop = asyncio.get_running_loop()
        running = RunningLookup(monotonic(), loop.create_future())
        # Mark an exception as retrieved: all who waited may have left.
        running.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        thread = Thread(
            target=self._look_up, args=(name, loop), name=f"lookup-{name[0]}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(
                errno.EAGAIN, f"No thread could be started to look {name[0]} up: {error}"
            ) from error

        self._running[name] = running
        return running

    def _look_up(self, name: Name, loop: asyncio.AbstractEventLoop) -> None:
        """Run in a thread: look the name up, and hand the result to the event loop."""
        found: list[ResolveResult] | Exception
        try:
            found = look_up(self._lookup, name)
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            found = error

        # The loop is closed if the process, or a test, has ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._finish, name, found)

    def _finish(self, name: Name, found: list[ResolveResult] | Exception) -> None:
        running = self._running.pop(name)
        if isinstance(found, Exception):
            running.done.set_exception(found)
        else:
            self._known[name] = KnownAddresses(monotonic(), found)
            running.done.set_result(found)

    async def close(self) -> None:
        """Nothing to close: a lookup that hangs ends by itself."""


def check_for_free_file() -> None:
    """Raise the true reason of a failed lookup if this process can open no file.

    At the first lookup of a process glibc then says that there is no such name. It would count for
    the circuit breaker, although it says nothing about the upstream.

    Raises:
        OSError: one of `EXHAUSTED_ERRNOS`.
    """
    try:
        socket.socket().close()
    except OSError as error:
        if error.errno in EXHAUSTED_ERRNOS:
            raise


def look_up(lookup: Lookup, name: Name) -> list[ResolveResult]:
    """The addresses of a name, for aiohttp. Blocks; raises `OSError` if there are none."""
    host, port, family = name
    try:
        infos = lookup(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except socket.gaierror:
        check_for_free_file()
        raise
    found: list[ResolveResult] = []
    for address_family, _, proto, _, address in infos:
        numeric = str(address[0])
        if address_family == socket.AF_INET6 and address[3]:
            # A link-local address has to name its interface.
            numeric = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        found.append(
            {
                "hostname": host,
                "host": numeric,
                "port": address[1],
                "family": address_family,
                "proto": proto,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
        )

    if not found:
        raise socket.gaierror(socket.EAI_NONAME, f"No usable address of {host}")
    return found
