"""What went wrong inside aiohttp, as httpx's exceptions."""

import aiohttp

from .http import httpx


def map_aiohttp_exception(error: Exception) -> httpx.TransportError:
    """The httpx exception for what happened.

    Only `ConnectError` and `ConnectTimeout` mean that nothing was sent. (The httpx-aiohttp adapter
    raises `ConnectTimeout` for a refused connection, for a full pool, and for a POST that the
    server read and dropped.)
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("No connection within the time for it.")
        case aiohttp.ClientConnectorError() | aiohttp.ServerFingerprintMismatch():
            return httpx.ConnectError(f"No connection: {error}")
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError(
                "The upstream closed the connection without a response."
            )
        case aiohttp.ClientHttpProxyError():
            return httpx.ProxyError(f"The proxy refused the connection: HTTP {error.status}")
        case aiohttp.ClientResponseError():
            # Its text has the URL with the query. Further lines of its message, and what stands
            # behind a colon, have what came, such as a cookie.
            fault = error.message.partition("\n")[0].partition(":")[0]
            return httpx.RemoteProtocolError(f"Not an HTTP response: {fault}")
        case aiohttp.ClientPayloadError():
            return httpx.RemoteProtocolError(f"Not a whole HTTP response: {error}")
        case _:
            return httpx.ReadError(f"The connection broke: {error}")
