"""Answers Prometheus for the workers of one host: a thread in each worker's main process.

All workers of a host listen on the same port, and the kernel gives each scrape to one of them. Any
of them can answer, because all count in the same folder. So the address is there as long as one
worker is.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from offload.conf import conf
from offload.observe import process_files
from offload.observe.exposition import make_text
from offload.serving.scrape import TEXT_LIFETIME_SECONDS, is_allowed

logger = logging.getLogger("offload.jobs")

# A scrape that takes longer is cut off: the others wait for it meanwhile. It takes some 20 ms.
SCRAPE_TIMEOUT_SECONDS = 3.0


class MetricsServer(HTTPServer):
    """Answers one scrape after the other, with the text that `make_text` gives."""

    # More scrapes than one Prometheus, or a pair of them, ever has under way.
    request_queue_size = 16

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._text, self._made_at = b"", float("-inf")
        super().__init__(address, _Handler)
        # The processes that compute are forked later, and must not keep the port.
        os.register_at_fork(after_in_child=self.socket.close)

    def server_bind(self) -> None:
        """Share the port with the other workers of this host."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # `HTTPServer.server_bind` would ask the DNS for this host's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def text(self) -> bytes:
        """The metrics, made at most once a second."""
        if time.monotonic() - self._made_at > TEXT_LIFETIME_SECONDS:
            self._text, self._made_at = make_text(), time.monotonic()
        return self._text

    def handle_error(self, request: object, client_address: object) -> None:
        """The client left, or was cut off. The inherited method prints a traceback."""
        logger.debug("a scrape of %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    connection: socket.socket

    def handle(self) -> None:
        timer = threading.Timer(SCRAPE_TIMEOUT_SECONDS, self._cut_off)
        timer.daemon = True
        timer.start()
        try:
            super().handle()
        finally:
            timer.cancel()

    def _cut_off(self) -> None:
        # It may have been closed at this moment.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        if self.path != "/metrics":
            self._answer(404, b"the metrics are at /metrics\n")
        elif not is_allowed(self.headers.get("Authorization", "")):
            self._answer(401, b"send Authorization: Bearer <METRICS_TOKEN>\n")
        else:
            self._answer(200, self.server.text())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Type", CONTENT_TYPE_LATEST if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def open_metrics_server() -> MetricsServer | None:
    """Listen at `Offload.worker_metrics_port`; None if that is 0. `serve` begins to answer.

    Raises:
        SystemExit: the port is taken by another program, or the workers have no folder for counts.
    """
    host, port = conf().host, conf().worker_metrics_port
    if not port:
        return None
    if process_files.folder() is None:
        raise SystemExit(
            "WORKER_METRICS_PORT is set, and the processes of a worker have no folder to count in: "
            f"set {process_files.FOLDER_VARIABLE} in the environment of the worker"
        )
    try:
        return MetricsServer((host, port))
    except OSError as error:
        raise SystemExit(
            f"The metrics of the workers cannot be served on {host}, port {port} "
            f"({error.strerror}): choose another WORKER_METRICS_PORT"
        ) from error


def serve(server: MetricsServer) -> None:
    """Answer scrapes from now on, in a thread that ends with the process."""
    threading.Thread(target=server.serve_forever, name="offload-metrics", daemon=True).start()
    host, port = server.server_address[:2]
    logger.info("the metrics of this host's workers are at http://%s:%s/metrics", host, port)
