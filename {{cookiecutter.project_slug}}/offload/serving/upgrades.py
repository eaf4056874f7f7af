"""Takes the wish for another protocol out of a request that is answered in HTTP/1.1."""

# These fields of a head are about the other protocol, and name nothing else.
UPGRADE_FIELDS = frozenset({b"upgrade", b"http2-settings"})

RawHeaders = list[tuple[bytes, bytes]]


def without_upgrade(headers: RawHeaders) -> RawHeaders:
    """The fields of the same request without its upgrade.

    A server may ignore an upgrade (RFC 9110 section 7.8). Java's HttpClient and `curl --http2` ask
    for HTTP/2 (`h2c`) in each first request. The parser of such a head takes what follows for the
    other protocol, so it loses the request's body (uvicorn #2722, httptools #124).

    Args:
        headers: the names in lower case.
    """
    kept: RawHeaders = []
    for name, value in headers:
        if name == b"connection":
            if others := _other_options(value):
                kept.append((name, others))
        elif name not in UPGRADE_FIELDS:
            kept.append((name, value))
    return kept


def _other_options(connection: bytes) -> bytes:
    """The other options of a `Connection` header, such as `close`."""
    options = [option.strip() for option in connection.split(b",")]
    return b", ".join(option for option in options if option.lower() not in UPGRADE_FIELDS)


def head_of(method: bytes, url: bytes, version: str, headers: RawHeaders) -> bytes:
    """The head of a request as it is sent, for a parser that begins anew."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join([*lines, b"", b""])
