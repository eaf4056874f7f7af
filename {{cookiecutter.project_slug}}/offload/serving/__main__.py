"""`python -m offload.serving`: the web process, exactly as production runs it."""

import argparse
import errno
import logging
import os
import socket
import sys

import uvicorn

from offload.serving.protocol import Protocol

logger = logging.getLogger("offload.serving")


TAKEN = (
    "Port {port} on {host} is taken: stop what runs there, or choose another with --port or PORT=."
)


class Server(uvicorn.Server):
    """uvicorn's, which ends where another process took the port during the start, instead of living
    on unheard.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the lifespans, then listen: who connects before is refused, and asks another
        instance.
        """
        copies = [listener.dup() for listener in sockets or ()]
        await super().startup(sockets)
        for copy in copies:
            with copy:
                try:
                    # Again: uvloop closes its own without a word if it was refused.
                    copy.listen(self.config.backlog)
                except OSError:
                    await self.lifespan.shutdown()
                    host, port = copy.getsockname()[:2]
                    sys.exit(TAKEN.format(port=port, host=host))


def main() -> None:
    """Run the server until it is told to stop. Exits with 1 if the port is taken, 3 if the start
    failed.
    """
    arguments = _arguments()
    listener = _bind(arguments.host, arguments.port)
    config = uvicorn.Config(
        arguments.application,
        # Named, so that a missing one fails the start and not the speed.
        loop="uvloop",
        http=Protocol,
        # "auto" takes a broken start for an application without one and serves anyway.
        lifespan="on",
        # The service's own LOGGING holds for the server's messages, too.
        log_config=None,
        # Ours knows the request's id and the route, and is structured.
        access_log=False,
        # Nobody needs to know.
        server_header=False,
        # Else a pipelined request starts with what the one before it left in its context
        # (python/cpython#140947).
        reset_contextvars=True,
        # Longer than the proxy's idle time (nginx, AWS ALB: 60 s): if we close first, a request can
        # meet the closing socket and the caller sees a 502.
        timeout_keep_alive=65,
        timeout_graceful_shutdown=arguments.grace,
    )
    server = Server(config)
    config.load()
    host, port = listener.getsockname()[:2]
    logger.info("Serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    server.run(sockets=[listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offload.serving", description=__doc__)
    parser.add_argument(
        "application", nargs="?", default="config.asgi:application", help="default: %(default)s"
    )
    parser.add_argument(
        "--host", default=os.environ.get("HOST", "127.0.0.1"), help="default: $HOST or 127.0.0.1"
    )
    parser.add_argument(
        "--port", type=int, default=os.environ.get("PORT", "8000"), help="default: $PORT or 8000"
    )
    # Kubernetes kills after 30 s, and closing needs time, too.
    grace = "seconds for requests to end when told to stop; then they are cancelled (default: %(default)s)"
    parser.add_argument("--grace", type=int, default=20, help=grace)
    return parser.parse_args()


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything slow happens. Exits with a sentence where that can't be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        # A restart needn't wait for TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(TAKEN.format(port=port, host=host))
        sys.exit(
            f"Cannot listen on {host}, port {port} ({error.strerror}): choose others with --host and --port."
        )
    return listener


if __name__ == "__main__":
    main()
