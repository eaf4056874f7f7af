"""Refuses a request by its head: for a method, a host or a header that nobody serves.

These layers only look at the head, so they need no coroutine of their own (0.2 us). Each raises its
`Problem` at once.
"""

from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from offload.problems import Problem
from offload.serving.methods import SERVED_METHODS
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Receive, Scope, Send

PROBE_METHODS = frozenset({"GET", "HEAD"})
# Django allows these hosts if DEBUG is on and ALLOWED_HOSTS is empty (`HttpRequest.get_host`).
DEBUG_HOSTS = (".localhost", "127.0.0.1", "[::1]")
# The longest that a client sends has some 100: a form's, whose boundary has up to 70.
MAX_CONTENT_TYPE_BYTES = 256
# The backslashes of all cookies times their bytes: each costs a search through what follows. This
# many take 60 ms. Django's largest cookie of messages has 400 in 3 kB: a million.
MAX_COOKIE_STEPS = 4_000_000


class MethodCheck:
    """Answers 405 to TRACE, PROPFIND and whatever else a parser accepts; of a probe to POST, too.

    A view of Django that does not ask for the method would answer them all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        served = PROBE_METHODS if state.is_probe else SERVED_METHODS
        if scope["method"] not in served:
            allowed = ", ".join(sorted(served))
            raise Problem(405, f"This address takes {allowed}.", headers={"Allow": allowed})
        return self.app(scope, receive, send)


class HostCheck:
    """Does Django's check of the `Host` header (400) before either chain of middleware.

    Django itself checks the host only where something calls `request.get_host()`, which the API's
    chain never does. Probes and scrapes come to the process's address, so their host is not
    checked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        # The state keeps one header of each name. So it has fewer where a name came twice.
        if len(state.headers) != len(scope["headers"]):
            _check_hosts_are_single(scope["headers"])
        if not state.is_probe:
            check_host(state.headers)
        return self.app(scope, receive, send)


class CostlyHeaders:
    """Checks two headers (400) before Django parses them, which it does without a login.

    Django has the standard library do it, whose time grows with the square of the length in some
    versions (Python 3.11.7: 63,000 semicolons in quotes, or 31,000 quotes in a cookie, stop the
    event loop for 13 s). And a parameter in an unknown encoding (`name*=`, RFC 2231) is an
    exception that Django does not answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        if b"content-type" in state.headers or b"cookie" in state.headers:
            check_costly_headers(scope["headers"])
        return self.app(scope, receive, send)


def is_served_host(scope: Scope) -> bool:
    """Whether a WebSocket is opened to one host, which is in `ALLOWED_HOSTS`.

    The application inside checks its origin.
    """
    try:
        _check_hosts_are_single(scope["headers"])
        check_host(dict(scope["headers"]))
    except Problem:
        return False
    return True


def _check_hosts_are_single(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse a request that names two hosts (RFC 9112 section 3.2).

    A proxy and this service could each take another one for the true host.
    """
    names = [name for name, _ in headers]
    for name in (b"host", b"x-forwarded-host"):
        if names.count(name) > 1:
            raise Problem(400, f"The request has more than one {name.decode()} header: send one.")


def check_host(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a host that is not one of `ALLOWED_HOSTS`.

    Args:
        headers: by lower-case name.
    """
    host = headers.get(b"host", b"")
    forwarded_host = headers.get(b"x-forwarded-host")
    # Asked last: each look at a setting costs 0.4 us.
    if forwarded_host and settings.USE_X_FORWARDED_HOST:
        host = forwarded_host

    name = host.decode("latin-1")
    allowed = settings.ALLOWED_HOSTS or (DEBUG_HOSTS if settings.DEBUG else ())
    if not _is_allowed(name, tuple(allowed)):
        raise Problem(
            400,
            f"The host {name!r} is not served here. "
            "Send a host that is, or add this one to ALLOWED_HOSTS.",
        )


@lru_cache(maxsize=256)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def check_costly_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what takes long to parse, or cannot be parsed."""
    content_type = _joined(headers, b"content-type")
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise Problem(
            400,
            f"The Content-Type is longer than {MAX_CONTENT_TYPE_BYTES} bytes: send a short one.",
        )
    if b"*" in content_type:
        raise Problem(
            400, "The Content-Type has an asterisk, which no parameter needs: leave it out."
        )

    cookies = _joined(headers, b"cookie")
    if cookies.count(b"\\") * len(cookies) > MAX_COOKIE_STEPS:
        raise Problem(400, "The Cookie has too many backslashes: send fewer.")


def _joined(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The values of a header, which Django joins, too."""
    return b",".join([value for each, value in headers if each == name])
