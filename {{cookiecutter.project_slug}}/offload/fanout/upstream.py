"""An external API, declared once: where it is, how long it may take, how much of it is used at a
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from multidict import CIMultiDict
from pydantic_core import from_json, to_json

from .answer import Answer
from .breaker import Breaker
from .call import Call
from .http import httpx
from .live import Live
from .retry import IDEMPOTENT, Retry
from .stream import stream
from .transport import AiohttpTransport, tls_context
from .url import Params, check_base, join

if TYPE_CHECKING:
    from .cache import Cache
    from .hedge import Hedge

T = TypeVar("T")
declared: WeakSet[Upstream] = WeakSet()


@dataclass(eq=False)
class Upstream:
    """An external API and its limits; times are in seconds, sizes in bytes.

    Declared in an app's `upstreams.py`, opened by `fanout.lifespan`, called through `get_json` and
    its like, which describe a `Call` for `gather` or `await`.
    """

    name: str
    _: KW_ONLY
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Authorization; a function: asked each call.
    auth: Callable[[], str] | str | None = field(default=None, repr=False)
    # A call with all its retries; a request's own deadline only shortens it.
    timeout: float = 5.0
    # One request, from connecting to the last byte.
    attempt_timeout: float = 2.0
    # A lost SYN is sent again after 1 s (RFC 6298): waiting longer mostly waits in vain.
    connect_timeout: float = 1.0
    max_in_flight: int = 64
    max_waiting: int = 64
    # Of a decoded body; json.loads of a megabyte holds the event loop some 10 ms.
    max_bytes: int = 2**20
    # Idle connections close before the upstream does it: uvicorn and Node after 5 s.
    keepalive: float = 4.0
    # Trusted instead of the system's certificates.
    ca_file: str | None = None
    retry: Retry = field(default_factory=Retry)
    breaker: Breaker = field(default_factory=Breaker)
    # Equal reads at the same time share one request.
    single_flight: bool = True
    # So many requests in so many seconds, from this process.
    rate: tuple[float, float] | None = None
    hedge: Hedge | None = None
    cache: Cache | None = None

    def __post_init__(self) -> None:
        self.base_url = check_base(self.base_url)
        if not 0 < self.attempt_timeout <= self.timeout:
            raise ValueError(
                f"Upstream {self.name!r}: attempt_timeout ({self.attempt_timeout} s) must be above 0 and at most "
                f"timeout ({self.timeout} s), which covers all attempts."
            )
        self._live: Live | None = None
        declared.add(self)

    def get_json(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> Call[Any]:
        """A GET whose answer is JSON; `.into(Model)` validates it."""
        return self._call("GET", path, params, headers, None, True, _json)

    def post_json(
        self,
        path: str,
        body: Any,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> Call[Any]:
        """A POST of JSON whose answer is JSON; the body may hold pydantic models, dataclasses,
        dates and decimals.

        It is sent once, unless `idempotent` says that again does no harm (an `Idempotency-Key` it
        knows, say).
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._call("POST", path, params, sent, to_json(body), idempotent, _json)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        idempotent: bool | None = None,
    ) -> Call[httpx.Response]:
        """Any request; its value is the `httpx.Response`, read, with a status below 300.

        Args:
            path: below `base_url`; values in it go through `urllib.parse.quote(value, safe="")`.
            idempotent: whether it may be sent again after a failure; by default as its method says
                (RFC 9110).
        """
        again = method in IDEMPOTENT if idempotent is None else idempotent
        return self._call(method, path, params, headers, body, again, Answer.response)

    def stream(
        self,
        path: str,
        *,
        max_bytes: int,
        within: float,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """A GET whose body is read in pieces: `async with upstream.stream(...) as response`, then
        `aiter_bytes()`.

        Args:
            max_bytes: of the decoded body; beyond it reading raises `TooLarge`.
            within: seconds until its last byte.
        """
        return stream(
            self.live(),
            self.request("GET", path, params=params, headers=headers),
            max_bytes,
            within,
        )

    def _call(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        idempotent: bool,
        decode: Callable[[Answer], T],
    ) -> Call[T]:
        # Names regardless of case: what the call says replaces what is declared here.
        sent = CIMultiDict(self.headers)
        if self.auth:
            sent["Authorization"] = self.auth() if callable(self.auth) else self.auth
        sent.update(headers or {})
        return Call(
            self,
            method,
            join(self.base_url, path, params),
            tuple(sent.items()),
            body,
            idempotent,
            decode,
        )

    def live(self) -> Live:
        """The open upstream; raises `RuntimeError` if it isn't open, or open in another event loop."""
        live = self._live
        if live is None or (live.loop and live.loop is not asyncio.get_running_loop()):
            raise RuntimeError(
                f"Upstream {self.name!r} is not open in this event loop. fanout.lifespan opens what the apps' "
                "upstreams.py declare: start the service with `make dev`, not with manage.py runserver, whose every "
                "request has a loop of its own. In a command use `async with upstream.open()`, in a test "
                "`upstream.using(httpx.MockTransport(...))`."
            )
        return live

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open its pool of connections in the running event loop, and close it in the end."""
        transport = AiohttpTransport(
            connections=self.max_in_flight,
            keepalive=self.keepalive,
            connect_timeout=self.connect_timeout,
            tls=await tls_context(self.ca_file) if self.base_url.startswith("https:") else True,
        )
        try:
            with self.using(transport, asyncio.get_running_loop()):
                yield
        finally:
            await transport.aclose()

    @contextmanager
    def using(
        self, transport: httpx.AsyncBaseTransport, loop: asyncio.AbstractEventLoop | None = None
    ) -> Iterator[None]:
        """Send through this transport, every protection in its first state: for tests,
        `httpx.MockTransport`.
        """
        before, self._live = self._live, Live(self, transport, loop)
        try:
            yield
        finally:
            self._live = before


def _json(answer: Answer) -> Any:
    return from_json(answer.body)
