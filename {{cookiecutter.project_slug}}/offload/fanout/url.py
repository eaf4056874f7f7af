"""URL: the address of a call. It is always below the base URL of its upstream."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from yarl import URL

Value = str | int | float
Params = Mapping[str, Value | Sequence[Value]]

# Visible ASCII. Everything else in a URL is percent-encoded.
_PATH = re.compile(r"/(?!/)[!-~]*")


def check_base(url: str) -> str:
    """The base URL without a slash at its end.

    Raises `ValueError` unless it is a plain `http(s)://host[:port][/path]`.
    """
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        # A user or a query may hold a password.
        shown = re.split("[?#]", url.rpartition("@")[2])[0]
        raise ValueError(
            "base_url must be http(s)://host[:port][/path], without user, query or fragment: "
            f"{shown!r}"
        )
    return url.rstrip("/")


def check_proxy(url: str) -> None:
    """Raise `ValueError` unless this is a plain `http://[user:password@]host:port`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        # The address is left out: it may hold a password.
        raise ValueError("proxy must be http://[user:password@]host:port, without path or query")


def join(base: str, path: str, params: Params | None) -> URL:
    """The URL of `path` below `base`. Raises `ValueError` for a path that could lead elsewhere."""
    return _below(base, path).with_query(params) if params else _below(base, path)


@lru_cache(1024)
def _below(base: str, path: str) -> URL:
    if not _PATH.fullmatch(path) or set(path) & set("?#\\") or _leads_up(path):
        raise ValueError(
            "A path starts with one slash and holds no '..', '?', '#', space or backslash: "
            f"{path!r}. Put values through urllib.parse.quote(value, safe='') and queries into "
            "params."
        )
    return URL(base + path, encoded=True)


def _leads_up(path: str) -> bool:
    """Whether any server could read a parent folder (`..`) in this path.

    Three kinds of server read more than RFC 3986 says:
    1. IIS takes a backslash for a slash.
    2. Tomcat leaves out what follows a semicolon in a segment.
    3. A proxy and the server behind it each decode the path once.
    """
    while True:
        segments = path.replace("\\", "/").split("/")
        if any(segment.split(";", 1)[0] == ".." for segment in segments):
            return True

        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
