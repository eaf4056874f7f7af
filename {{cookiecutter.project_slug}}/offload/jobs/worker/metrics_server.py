"""Answers Prometheus for the workers of one host: a thread in each worker's main process.

All workers of a host listen on the same port, and the kernel gives each scrape to one of them. Any
of them can answer, because all count in the same folder. So the address is there as long as one
worker is.
"""

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

log = logging.getLogger("offload.jobs")

# A client that sends or reads nothing for so long is cut off: the others wait for it meanwhile.
CLIENT_TIMEOUT_SECONDS = 2.0


class MetricsServer(HTTPServer):
    """Answers one scrape after the other, with the text that `make_text` gives."""

    # More scrapes than one Prometheus, or a pair of them, ever has under way.
    request_queue_size = 16

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._text, self._made_at = b"", float("-inf")
        super().__init__(address, _Handler)
        # The processes that compute are forked later, and must not hold the socket.
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


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = CLIENT_TIMEOUT_SECONDS

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


def start_metrics_server() -> None:
    """Serve the metrics of this host's workers, if `Offload.worker_metrics_port` is set.

    Raises:
        SystemExit: the port is taken by another program, or the workers have no folder for counts.
    """
    host, port = conf().host, conf().worker_metrics_port
    if not port:
        return
    if process_files.folder() is None:
        raise SystemExit(
            "WORKER_METRICS_PORT is set, and the processes of a worker have no folder to count in: "
            f"set {process_files.FOLDER_VARIABLE} in the environment of the worker"
        )
    try:
        server = MetricsServer((host, port))
    except OSError as error:
        raise SystemExit(
            f"The metrics of the workers cannot be served on {host}, port {port} "
            f"({error.strerror}): choose another WORKER_METRICS_PORT"
        ) from error
    threading.Thread(target=server.serve_forever, name="offload-metrics", daemon=True).start()
    log.info("the metrics of this host's workers are at http://%s:%d/metrics", host, port)
