"""`python -m offload.serving`: the web process, as production runs it."""

import argparse
import errno
import ipaddress
import logging
import socket
import sys
from functools import partial
from importlib.util import find_spec
from typing import Any

import uvicorn
from django.conf import settings as django_settings
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from offload.conf import conf
from offload.first_process import end_on_sigterm
from offload.serving.connection_limits import ConnectionLimits, allowed_connections
from offload.serving.fast.coalescing import CoalescingHttpProtocol
from offload.serving.protocol import HttpProtocol
from offload.serving.server import PORT_IS_TAKEN, Server
from offload.serving.websocket_protocol import limited
from offload.standard_streams import open_standard_streams

logger = logging.getLogger("offload.serving")


def main() -> None:
    """Run the server until it is told to stop.

    Exits with 1 if the port is taken, the address is not allowed or the library for WebSockets is
    missing, and with 3 if the start failed.
    """
    open_standard_streams()
    end_on_sigterm()
    arguments = _arguments()
    config = _config(arguments.application, arguments.grace)
    config.load()
    _check_websockets(config)
    # The application has loaded Django's settings by now.
    settings = conf()
    config.ws_max_size = settings.websocket_message_limit
    listener = _bind(arguments.host or settings.host, arguments.port or settings.port)
    _check_debug(listener)
    config.loaded_app = ProxyHeadersMiddleware(
        config.loaded_app, trusted_hosts=list(settings.trusted_proxies)
    )
    # Those of the API's requests, and those of all others.
    database_connections = 2 * settings.max_request_connections
    allowed = allowed_connections(settings.connections, database_connections)
    limits = ConnectionLimits(settings, allowed)
    protocol = CoalescingHttpProtocol if settings.fast else HttpProtocol
    config.http_protocol_class = partial(protocol, limits=limits)  # type: ignore[assignment]
    if config.ws_protocol_class is not None:
        config.ws_protocol_class = limited(config.ws_protocol_class, limits)

    server = Server(config, limits, arguments.drain)
    host, port = listener.getsockname()[:2]
    logger.info("Serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    server.run(sockets=[listener])


def _config(application: str, grace: int) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        # Named, so that a missing package fails the start. "auto" would only be slower.
        loop="uvloop",
        http=HttpProtocol,
        # "auto" takes a broken start for an application without one, and serves anyway.
        lifespan="on",
        # The service's own LOGGING is for the messages of the server, too.
        log_config=None,
        # The middleware's log knows the request's id and the route, and is structured.
        access_log=False,
        # `main` adds them, with the service's own setting. uvicorn would read the environment.
        proxy_headers=False,
        # Else uvicorn reads WEB_CONCURRENCY, which would do nothing here.
        workers=1,
        # The name of the server is no help to a client.
        server_header=False,
        # Else a pipelined request begins with what the request before it left in its context
        # (python/cpython#140947).
        reset_contextvars=True,
        timeout_graceful_shutdown=grace,
        **_websocket_settings(),
    )


def _websocket_settings() -> dict[str, Any]:
    return {
        # The library is a requirement of services that have WebSockets. "auto" would take another
        # one that some package brings along, without the limits of `websocket_protocol.py`.
        "ws": "websockets-sansio" if find_spec("websockets") else "none",
        # A compressor costs each connection memory, and a message could be a bomb.
        "ws_per_message_deflate": False,
        # A client that is gone is found after 40 s. Proxies close a silent connection after 60 s.
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 20.0,
    }


def _check_websockets(config: uvicorn.Config) -> None:
    """Exit if the application has WebSockets, and nothing here speaks their protocol.

    Each of their handshakes would be answered as a GET: 404, or what a page says there.
    """
    served = getattr(config.loaded_app, "websocket", None)
    if served is not None and config.ws_protocol_class is None:
        sys.exit(
            "The application has WebSockets, but `websockets` is not installed: pip install it."
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offload.serving", description=__doc__)
    parser.add_argument(
        "application", nargs="?", default="config.asgi:application", help="default: %(default)s"
    )
    parser.add_argument("--host", help="default: OFFLOAD.host of the settings")
    parser.add_argument("--port", type=int, help="default: OFFLOAD.port of the settings")
    # Kubernetes kills a process after 30 s, and to close what is open needs time, too.
    parser.add_argument(
        "--grace",
        type=int,
        default=20,
        help="seconds for requests to end after a stop; then they are cancelled "
        "(default: %(default)s)",
    )
    # Kubernetes takes an instance out within some seconds of its SIGTERM.
    parser.add_argument(
        "--drain",
        type=float,
        default=5.0,
        help="seconds to go on serving after a SIGTERM, while readiness is 503 "
        "(default: %(default)s)",
    )
    return parser.parse_args()


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before the lifespans open. Exits with a sentence if it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        # A restart need not wait for the old sockets (TIME_WAIT).
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(PORT_IS_TAKEN.format(port=port, host=host))
        sys.exit(
            f"Cannot listen on {host}, port {port} ({error.strerror}): "
            "choose others with --host and --port."
        )
    return listener


def _check_debug(listener: socket.socket) -> None:
    """Exit if other machines can reach a process in DEBUG, which shows its settings on error pages.

    The service checks HOST itself. This finds an address that was given as `--host`.
    """
    host = listener.getsockname()[0]
    if django_settings.DEBUG and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        sys.exit(f"DEBUG is on, and {host} lets other machines in: use DEBUG=0 or 127.0.0.1.")


if __name__ == "__main__":
    main()
