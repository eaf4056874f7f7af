"""Where a call goes: below its upstream's base URL, whatever the path and parameters it is given."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlencode, urlsplit

Value = str | int | float
Params = Mapping[str, Value | Sequence[Value]]

_PATH = re.compile(r"/(?!/)[!-~]*")  # visible ASCII; what else a URL may hold is percent-encoded


def check_base(url: str) -> str:
    """The base URL without a closing slash; raises `ValueError` unless it is plain `http(s)://host[:port][/path]`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"base_url must be http(s)://host[:port][/path], without user, query or fragment: {url!r}")
    return url.rstrip("/")


def join(base: str, path: str, params: Params | None) -> str:
    """The URL of `path` below `base`. Raises `ValueError` for a path that could lead elsewhere."""
    if not _PATH.fullmatch(path) or set(path) & set("?#\\") or ".." in unquote(path).split("/"):
        raise ValueError(
            f"A path starts with one slash and holds no '..', '?', '#', space or backslash: {path!r}. "
            "Put values through urllib.parse.quote(value, safe='') and queries into params."
        )
    return f"{base}{path}?{urlencode(params, doseq=True)}" if params else base + path
