"""Takes the wish for another protocol out of a request that is answered in HTTP/1.1."""

# These fields of a head are about the other protocol, and name nothing else.
UPGRADE_FIELDS = frozenset({b"upgrade", b"http2-settings"})

RawHeaders = list[tuple[bytes, bytes]]


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: RawHeaders) -> bytes:
    """The head of the same request without its upgrade, for a parser that begins anew.

    A server may ignore an upgrade (RFC 9110 section 7.8). Java's HttpClient and `curl --http2` ask
    for HTTP/2 (`h2c`) in each first request. The parser of such a head takes what follows for the
    other protocol, so it loses the request's body (uvicorn #2722, httptools #124).

    Args:
        method: such as `POST`.
        url: the request's target, as it was sent.
        version: such as `1.1`.
        headers: the names in lower case.
    """
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            value = _without_upgrade(value)
        if name not in UPGRADE_FIELDS and (value or name != b"connection"):
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])


def _without_upgrade(connection: bytes) -> bytes:
    """The other options of a `Connection` header, such as `close`."""
    options = [option.strip() for option in connection.split(b",")]
    return b", ".join(option for option in options if option.lower() not in UPGRADE_FIELDS)
