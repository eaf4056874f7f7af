"""An upstream: an external API, declared once, with its address and its limits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

from multidict import CIMultiDict
from pydantic_core import from_json, to_json

from .auth import TokenAuth
from .call import Call
from .client import ClientHolder, UpstreamClient
from .http import httpx
from .limits import UpstreamLimits
from .raw_response import RawResponse
from .request import IDEMPOTENT_METHODS, UpstreamRequest
from .sessions import ConnectionSettings
from .stream import stream
from .tls import TlsFiles, tls_context
from .transport import AiohttpTransport
from .upload import Upload
from .url import Params, check_base, check_proxy, join

T = TypeVar("T")

# Every upstream that was declared and is still referred to; `fanout.lifespan` opens them.
declared: "WeakSet[Upstream]" = WeakSet()


@dataclass(eq=False)
class Upstream(UpstreamLimits):
    """An external API: where it is, and all limits of `UpstreamLimits`.

    Declared in an app's `upstreams.py`, opened by `fanout.lifespan`, called through `get_json` and
    its like, which describe a `Call` for `gather` or `await`.
    """

    name: str
    _: KW_ONLY
    # http(s)://host[:port][/path]; every path of a call is below it.
    base_url: str
    # Sent with every call.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The Authorization header. A function is asked when a call is described, and may give each
    # caller another one. `TokenAuth` and `OAuth2` fetch a token of this service when it is needed.
    auth: TokenAuth | Callable[[], str] | str | None = field(default=None, repr=False)
    # Certificates to trust instead of the system's, in PEM format; read again when they change.
    ca_file: str | None = None
    # The certificate by which this service identifies itself (mTLS), and its key if that is in a
    # file of its own; PEM format, no password. Read again when they change.
    cert_file: str | None = None
    key_file: str | None = None
    # An HTTP proxy on the way out: http://[user:password@]host:port. The environment is not read.
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.base_url = check_base(self.base_url)
        if not 0 < self.attempt_timeout <= self.timeout:
            raise ValueError(
                f"Upstream {self.name!r}: attempt_timeout ({self.attempt_timeout} s) must be above "
                f"0 and at most timeout ({self.timeout} s), which covers all attempts of a call."
            )

        if self.key_file and not self.cert_file:
            raise ValueError(f"Upstream {self.name!r}: key_file is of no use without cert_file.")

        if self.proxy:
            check_proxy(self.proxy)
        self._holder = ClientHolder(self.name)
        declared.add(self)

    def get_json(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None
    ) -> Call[Any]:
        """A GET whose response is JSON; `.into(Model)` validates it."""
        request = self._request("GET", path, params, headers, body=None, idempotent=True)
        return Call(self._holder, request, _json)

    def post_json(
        self,
        path: str,
        body: Any,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> Call[Any]:
        """A POST of JSON whose response is JSON.

        Args:
            path, params, headers: as for `request`.
            body: may hold pydantic models, dataclasses, dates and decimals.
            idempotent: whether the request may be sent again after a failure, for example because
                the upstream knows its `Idempotency-Key`.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        request = self._request(
            "POST", path, params, sent, body=to_json(body), idempotent=idempotent
        )
        return Call(self._holder, request, _json)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Upload | None = None,
        idempotent: bool | None = None,
    ) -> Call[httpx.Response]:
        """Any request; its value is the `httpx.Response`, read, with a 2xx status.

        Args:
            method: in capitals.
            path: below `base_url`; values in it go through `urllib.parse.quote(value, safe="")`.
            params: the query.
            headers: sent besides those of the upstream, and in place of those of the same name.
            body: sent as it is; an `Upload` or a `multipart` form is sent in pieces.
            idempotent: whether the request may be sent again after a failure; by default as the
                method says (RFC 9110).
        """
        if idempotent is None:
            idempotent = method in IDEMPOTENT_METHODS
        if isinstance(body, Upload):
            with_those_of_body = CIMultiDict(body.headers())
            with_those_of_body.update(headers or {})
            headers = with_those_of_body

        request = self._request(method, path, params, headers, body=body, idempotent=idempotent)
        return Call(self._holder, request, RawResponse.response)

    def stream(
        self,
        path: str,
        *,
        max_bytes: int,
        within: float,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """A GET whose body is read in pieces.

        `async with upstream.stream(...) as response`, then `response.aiter_bytes()`. All
        protections hold but hedging, single flight and cache. Opening is retried as any GET is,
        until the head of a response is there.

        Args:
            path, params, headers: as for `request`.
            max_bytes: of the decoded body; reading more raises `TooLarge`.
            within: seconds until the last byte; `timeout` does not hold here.
        """
        request = self._request("GET", path, params, headers, body=None, idempotent=True)
        return stream(self.client(), request, max_bytes, within)

    def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        *,
        body: bytes | Upload | None,
        idempotent: bool,
    ) -> UpstreamRequest:
        url = join(self.base_url, path, params)
        # The pipeline adds a token to each attempt.
        auth = None if isinstance(self.auth, TokenAuth) else self.auth
        if not headers and not auth:
            return UpstreamRequest(method, url, tuple(self.headers.items()), body, idempotent)

        # Header names have no case: what the call says replaces what is declared here.
        sent = CIMultiDict(self.headers)
        if auth:
            sent["Authorization"] = auth() if callable(auth) else auth
        sent.update(headers or {})
        return UpstreamRequest(method, url, tuple(sent.items()), body, idempotent)

    def client(self) -> UpstreamClient:
        """The client, while the upstream is open; raises `RuntimeError` otherwise."""
        return self._holder.get()

    @property
    def open_client(self) -> UpstreamClient | None:
        """The client, to look at from any thread; None while the upstream is not open."""
        return self._holder.client

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open a connection pool in the running event loop, and close it at the end.

        A test's stand-in (`using`) stays in its place: nothing is opened, and no call leaves.
        """
        if self._has_stand_in():
            yield
            return

        files = TlsFiles(self.ca_file, self.cert_file, self.key_file)
        settings = ConnectionSettings(
            upstream=self.name,
            max_connections=self.max_in_flight,
            keepalive=self.keepalive,
            max_age=self.max_connection_age,
            connect_timeout=self.connect_timeout,
            proxy=self.proxy,
            tls=files if self.base_url.startswith("https:") else None,
        )
        try:
            tls = await tls_context(files) if settings.tls else None
        except OSError as error:
            raise RuntimeError(
                f"Upstream {self.name!r}: its TLS files cannot be read ({error}). Check ca_file, "
                "cert_file and key_file."
            ) from error

        transport = AiohttpTransport(settings, tls)
        try:
            with self.using(transport, asyncio.get_running_loop()):
                yield
        finally:
            await transport.aclose()

    def _has_stand_in(self) -> bool:
        """Whether `using` has put a transport here that belongs to no event loop."""
        client = self._holder.client
        return client is not None and client.loop is None

    @contextmanager
    def using(
        self, transport: httpx.AsyncBaseTransport, loop: asyncio.AbstractEventLoop | None = None
    ) -> Iterator[None]:
        """Send through this transport, with every protection in its first state.

        For tests: `with upstream.using(httpx.MockTransport(...))`.
        """
        before = self._holder.client
        auth = self.auth if isinstance(self.auth, TokenAuth) else None
        self._holder.client = UpstreamClient(self.name, self, transport, loop, auth)
        try:
            yield
        finally:
            self._holder.client = before


def _json(raw: RawResponse) -> Any:
    return from_json(raw.json)
