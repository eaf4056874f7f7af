"""`python -m offload.serving`: the web process, as production runs it."""

import argparse
import errno
import logging
import socket
import sys

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from offload.conf import conf
from offload.serving.fast.coalescing import CoalescingHttpProtocol
from offload.serving.protocol import HttpProtocol

logger = logging.getLogger("offload.serving")

PORT_IS_TAKEN = (
    "Port {port} on {host} is taken: stop what runs there, or choose another with --port or PORT=."
)
# An idle connection stays open longer than at a proxy (nginx, AWS ALB: 60 s). If this side closed
# first, a request could meet the closing socket, and its caller would see a 502.
KEEP_ALIVE_TIMEOUT_SECONDS = 65


class Server(uvicorn.Server):
    """uvicorn's server, which exits if another process took the port during the start.

    uvicorn's own would live on without a single request.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the lifespans, then listen: a client that connects before is refused at once."""
        copies = [listener.dup() for listener in sockets or ()]
        await super().startup(sockets)
        for copy in copies:
            with copy:
                try:
                    # A second time: uvloop closes its own socket without an error if it was
                    # refused.
                    copy.listen(self.config.backlog)
                except OSError:
                    await self.lifespan.shutdown()
                    host, port = copy.getsockname()[:2]
                    sys.exit(PORT_IS_TAKEN.format(port=port, host=host))


def main() -> None:
    """Run the server until it is told to stop.

    Exits with 1 if the port is taken, and with 3 if the start failed.
    """
    arguments = _arguments()
    config = _config(arguments.application, arguments.grace)
    config.load()
    # The application has loaded Django's settings by now.
    listener = _bind(arguments.host or conf().host, arguments.port or conf().port)
    config.loaded_app = ProxyHeadersMiddleware(
        config.loaded_app, trusted_hosts=list(conf().trusted_proxies)
    )
    config.http_protocol_class = CoalescingHttpProtocol if conf().fast else HttpProtocol

    server = Server(config)
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
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT_SECONDS,
        timeout_graceful_shutdown=grace,
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


if __name__ == "__main__":
    main()
